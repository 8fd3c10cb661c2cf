"""The toy regression's network: its weights, its forward pass, and where it drops units."""

import numpy as np
import tiny

from bayes_by_hypernet.likelihoods import Gaussian
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.networks import TOY

SHAPES = {
    "dense_1/kernel": (1, 100),
    "dense_1/bias": (100,),
    "dense_2/kernel": (100, 1),
    "dense_2/bias": (1,),
}


class TestMlp:
    def test_weights_by_name(self):
        assert {v.path: tuple(v.shape) for v in TOY.build().weights} == SHAPES

    def test_computes_one_hidden_layer_of_relus(self):
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]
        x = rng.uniform(-4, 4, (7, 1)).astype(np.float32)
        model = TOY.build()
        model.set_weights(weights)
        first, first_bias, second, second_bias = (w.astype(np.float64) for w in weights)
        expected = np.maximum(x * first + first_bias, 0) @ second + second_bias
        # float32 sums of 100 terms.
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-4)

    def test_dropout_stands_after_the_hidden_layer(self):
        assert tiny.dropped(TOY.build(dropout=True)) == {"dropout": (100,)}
        assert not tiny.dropped(TOY.build())

    def test_every_method_takes_its_likelihood_from_the_network(self):
        for method in methods.METHODS.values():
            fitted = method(TOY, method.Options())
            assert fitted.num_weights == 301
            assert fitted.likelihood == Gaussian(3.0)
