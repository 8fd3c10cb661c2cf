"""The toy regression's network: its weights, and one forward pass whatever the family of layers."""

import numpy as np
import tiny

from bayes_by_hypernet import likelihoods
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.methods.keras_method import PointFamily
from bayes_by_hypernet.paper.networks import TOY, GivenWeightsFamily

SHAPES = {
    "dense_1/kernel": (1, 100),
    "dense_1/bias": (100,),
    "dense_2/kernel": (100, 1),
    "dense_2/bias": (1,),
}


class TestMlp:
    def test_weights_by_name(self):
        family = GivenWeightsFamily()
        TOY.build(family, family.weight_inputs)
        assert dict(zip(family.weight_names, family.weight_shapes, strict=True)) == SHAPES
        assert {v.path: tuple(v.shape) for v in TOY.build(PointFamily()).weights} == SHAPES

    def test_both_families_compute_one_hidden_layer_of_relus(self):
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]
        x = rng.uniform(-4, 4, (7, 1)).astype(np.float32)
        points, family = TOY.build(PointFamily()), GivenWeightsFamily()
        given = TOY.build(family, family.weight_inputs)
        points.set_weights(weights)
        first, first_bias, second, second_bias = (w.astype(np.float64) for w in weights)
        expected = np.maximum(x * first + first_bias, 0) @ second + second_bias
        # float32 sums of 100 terms.
        np.testing.assert_allclose(points(x), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(given([x, *weights]), expected, rtol=1e-4, atol=1e-4)

    def test_dropout_stands_after_the_hidden_layer(self):
        family = tiny.DropoutRecorder()
        TOY.build(family)
        assert family.dropped == {"dropout": (100,)}

    def test_every_method_takes_its_likelihood_from_the_network(self):
        for method in methods.METHODS.values():
            fitted = method(TOY, method.Options())
            assert fitted.num_weights == 301
            for member in (fitted, *fitted.members.values()):
                assert member.likelihood is likelihoods.get("gaussian")
