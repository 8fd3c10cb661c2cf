"""Every method: options, draws and logits on the tiny network; `map` and `bbh` in full."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet.layers import Conv2DHypernet, DenseHypernet
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.methods import (
    SAMPLED_ESTIMATORS,
    BayesByHypernetOptions,
    PriorOptions,
)
from bayes_by_hypernet.paper.networks import LENET

KEY = tf.constant([1, 2], tf.int32)
IMAGES = tf.constant(tiny.examples(4).images)
ARCHITECTURES = ("layerwise", "sliced", "single")
SHAPES = {
    "conv/kernel": (3, 3, 1, 4),
    "conv/bias": (4,),
    "dense/kernel": (16, 3),
    "dense/bias": (3,),
}
NUM_WEIGHTS = 36 + 4 + 48 + 3


def _hypernetworks(member):
    [wrapper] = member.generators
    return wrapper.posterior.hypernetworks


def _record(member):
    """The z of every hypernetwork in the calls to come."""
    seen = []
    for generator in _hypernetworks(member):
        call = generator.call
        generator.call = lambda z, matmul=None, call=call: seen.append(z.numpy()) or call(z)
    return seen


def _plain(weights):
    """The tiny network as a plain Keras model with these weights."""
    model = tiny.tiny(dropout=False)
    model.set_weights(list(weights))
    return model


class TestGet:
    def test_by_name(self):
        assert methods.get("bbh") is methods.BayesByHypernet
        assert methods.get("map") is methods.MaximumAPosteriori

    def test_unknown(self):
        with pytest.raises(
            ValueError, match=r"`method` must be one of \('bbb', .*'map'.*\).*'sgd'"
        ):
            methods.get("sgd")

    def test_settings_of_the_protocol(self):
        assert methods.get("map").learning_rate == 1e-3
        assert methods.get("bbh").learning_rate == 1e-4
        assert methods.get("bbh").anneals_kl and not methods.get("map").anneals_kl


class TestOptions:
    def test_defaults_are_table_3s(self):
        assert dataclasses.asdict(BayesByHypernetOptions()) == {
            "architecture": "layerwise",
            "noise": "independent",
            "noise_dim": 1,
            "num_kl_samples": 5,
            "num_likelihood_samples": 1,
            "prior_stddev": 1.0,
            "kl_estimator": "kernel_independent",
            "hidden_units": (64, 256, 512),
            "adversarial_weights": None,
        }

    @pytest.mark.parametrize(
        "architecture, noise",
        [("layerwise", "independent"), ("sliced", "independent"), ("single", "shared")],
    )
    def test_noise_of_none_is_what_the_architecture_allows(self, architecture, noise):
        assert BayesByHypernetOptions(architecture=architecture).noise == noise

    def test_survive_a_copy_and_a_list(self):
        options = BayesByHypernetOptions(architecture="single", hidden_units=[4, 8])
        assert options.hidden_units == (4, 8)
        assert BayesByHypernetOptions(**dataclasses.asdict(options)) == options

    @pytest.mark.parametrize(
        "options, match",
        [
            ({"architecture": "slice"}, r"`architecture` must be one of \('layerwise'.*'slice'"),
            ({"noise": "none"}, r"`noise` must be one of \('independent', 'shared'\).*'none'"),
            (
                {"architecture": "single", "noise": "independent"},
                "`noise` must be \"shared\".*every weight from the same z.*noise='independent'",
            ),
            ({"noise_dim": 0}, "`noise_dim` must be at least 1. Received: noise_dim=0"),
            ({"num_kl_samples": 1}, "at least 2, since the estimate.*num_kl_samples=1"),
            ({"num_likelihood_samples": 6}, "between 1 and `num_kl_samples`=5.*samples=6"),
            ({"num_likelihood_samples": 0}, "`num_likelihood_samples` must be between.*samples=0"),
            ({"prior_stddev": 0.0}, "`prior_stddev`.*positive.*stddev=0.0"),
            ({"kl_estimator": "full"}, "`kl_estimator` must be.*'kernel_full'.*'full'"),
            ({"hidden_units": ()}, "`hidden_units` must be one or more"),
            ({"hidden_units": (4, 0)}, "`hidden_units` must be one or more"),
        ],
    )
    def test_of_bbh_are_validated(self, options, match):
        with pytest.raises(ValueError, match=match):
            BayesByHypernetOptions(**options)

    def test_of_map_are_validated(self):
        with pytest.raises(ValueError, match="`prior_stddev`.*positive.*stddev=-1"):
            PriorOptions(prior_stddev=-1)


class TestEvery:
    @pytest.mark.parametrize("name", sorted(methods.METHODS))
    def test_draws_are_a_function_of_the_key_and_fit_the_network(self, name):
        method = tiny.method(name)
        sampler = method.sampler
        draws = sampler.draw(3, KEY)
        assert {n: w.shape[1:] for n, w in draws.items()} == sampler.sample_shapes
        assert sampler.sample_shapes == ({"key": (2,)} if name == "dropout" else SHAPES)
        assert method.num_weights == NUM_WEIGHTS
        again = tf.function(sampler.draw)(tf.constant(3), KEY)
        for n, w in draws.items():
            assert w.shape[0] == 3
            # Eager and compiled matrix products.
            np.testing.assert_allclose(again[n], w, rtol=1e-5, atol=1e-6)
        others = [sampler.draw(3, KEY + i) for i in range(1, 9)]
        changes = any((other[n] != w).numpy().any() for other in others for n, w in draws.items())
        assert changes == (sampler.num_distinct_samples != 1)
        sample = {n: w[1] for n, w in draws.items()}
        assert sampler.logits(IMAGES, sample).shape == (4, tiny.NUM_CLASSES)

    @pytest.mark.parametrize("name", sorted(methods.METHODS))
    @pytest.mark.parametrize("shape", [(2, 6, 6, 3), (2, 36), (2, 8, 8, 1)])
    def test_refuse_images_of_another_shape(self, name, shape):
        sampler = tiny.method(name).sampler
        sample = {n: w[0] for n, w in sampler.draw(1, KEY).items()}
        with pytest.raises(ValueError, match="incompatible|[Ee]xpected shape"):
            sampler.logits(tf.zeros(shape), sample)

    @pytest.mark.parametrize("name", sorted(methods.METHODS))
    def test_of_lenet(self, name):
        cls = methods.get(name)
        method = cls(LENET, cls.Options(**tiny.OPTIONS.get(name, {})))
        assert method.num_weights == 431_080
        if name != "dropout":
            assert list(method.sampler.sample_shapes)[:2] == ["conv_1/kernel", "conv_1/bias"]
        assert method.sampler.inputs.shape == (None, 28, 28, 1)

    def test_have_a_label_and_a_colour_each(self):
        for what in ("label", "colour"):
            shown = [getattr(method, what) for method in methods.METHODS.values()]
            assert len({*shown}) == len(shown)
        assert methods.get("bbh").label == "BbH"

    @pytest.mark.parametrize("name", sorted(methods.METHODS))
    def test_only_dropout_has_the_networks_dropout_layers(self, name):
        kinds = {type(layer).__name__ for layer in tiny.member(name).body._flatten_layers()}
        assert ("MCDropout" in kinds) == (name == "dropout")
        assert "Dropout" not in kinds


class TestMap:
    def test_kl_is_half_the_squared_kernels_over_the_priors_variance(self):
        member = tiny.member("map", prior_stddev=0.5)
        for variable in member.fitted_variables:
            variable.assign(np.random.default_rng(0).normal(size=variable.shape))
        kernels = [v.numpy().astype(np.float64) for v in member.fitted_variables[::2]]
        assert [k.shape for k in kernels] == [SHAPES["conv/kernel"], SHAPES["dense/kernel"]]
        expected = sum((k**2).sum() for k in kernels) / 2 / 0.5**2
        # A float32 sum of 84 squares.
        kl = member.kl(member.sampled_parameters(KEY), KEY)
        np.testing.assert_allclose(kl, expected, rtol=1e-5)

    def test_draws_and_logits_are_the_keras_models(self):
        method = tiny.method("map")
        sampler, [member] = method.sampler, method.members.values()
        draws = sampler.draw(3, KEY)
        for variable in member.fitted_variables:
            for i in range(3):
                np.testing.assert_array_equal(draws[variable.path][i], variable.numpy())
        expected = member(IMAGES)
        sample = {n: w[0] for n, w in draws.items()}
        # The same operations, in eager mode and as a stateless call.
        np.testing.assert_allclose(sampler.logits(IMAGES, sample), expected, rtol=1e-5, atol=1e-6)
        [logits] = member.training_outputs(IMAGES, member.sampled_parameters(KEY), KEY)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)

    def test_logits_use_the_given_weights(self):
        sampler = tiny.method("map").sampler
        sample = {n: 0 * w[0] for n, w in sampler.draw(1, KEY).items()}
        np.testing.assert_array_equal(sampler.logits(IMAGES, sample), np.zeros((4, 3)))

    def test_starts_at_variance_scaling_and_zero_biases(self):
        method = methods.get("map")(LENET, PriorOptions())
        for variable in method.members[""].fitted_variables:
            values = variable.numpy()
            if variable.name == "bias":
                assert not values.any()
            elif values.size > 10_000:
                fan_in = values[..., 0].size
                # Four standard errors of a variance, sqrt(2 / 25,000) or less each.
                np.testing.assert_allclose(values.var() * fan_in, 1, rtol=0.04)

    def test_gradients_reach_every_variable_through_the_parameters(self):
        member = tiny.member("map")
        with tf.GradientTape() as tape:
            parameters = member.sampled_parameters(KEY)
            [outputs] = member.training_outputs(IMAGES, parameters, KEY)
            loss = tf.reduce_sum(outputs**2)
        gradients = tape.gradient(loss, [v.value for v in member.fitted_variables])
        assert all(g.numpy().any() for g in gradients)


class TestBbh:
    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    @pytest.mark.parametrize("noise_dim", [1, 8])
    def test_parameters_are_samples_of_every_weight_and_the_draws_of_the_same_key(
        self, architecture, noise_dim
    ):
        method = tiny.method(architecture=architecture, noise_dim=noise_dim, num_kl_samples=4)
        parameters = method.members[""].sampled_parameters(KEY)
        assert [p.shape for p in parameters] == [(4, *shape) for shape in SHAPES.values()]
        for parameter, draw in zip(parameters, method.sampler.draw(4, KEY).values(), strict=True):
            np.testing.assert_array_equal(parameter, draw)

    def test_kernels_are_sliced_by_output_and_biases_are_not(self):
        member = tiny.member(architecture="sliced")
        assert [g.num_slices for g in _hypernetworks(member)] == [4, 1, 3, 1]
        assert [g.num_slices for g in _hypernetworks(tiny.member())] == [1] * 4

    def test_the_single_hypernetwork_of_lenet_has_130_slices(self):
        options = BayesByHypernetOptions(architecture="single", hidden_units=(4,))
        [generator] = _hypernetworks(methods.get("bbh")(LENET, options).members[""])
        assert (generator.num_slices, generator.generator.linear.units) == (130, 3316)

    def test_shared_noise_feeds_one_z_to_all(self):
        member = tiny.member(noise="shared", noise_dim=2)
        seen = _record(member)
        member.sampled_parameters(KEY)
        assert len(seen) == 4 and seen[0].shape == (5, 2)
        for z in seen:
            np.testing.assert_array_equal(z, seen[0])

    def test_independent_noise_is_another_z_for_each(self):
        member = tiny.member(noise="independent")
        seen = _record(member)
        member.sampled_parameters(KEY)
        assert len({z.tobytes() for z in seen}) == 4
        [wrapper] = member.generators
        z = np.stack([z[:, 0] for z in wrapper.posterior.z(20_000, KEY)])
        # Five standard errors of a correlation.
        np.testing.assert_allclose(np.corrcoef(z), np.eye(4), atol=5 / np.sqrt(20_000))

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_logits_are_the_network_with_the_drawn_weights(self, architecture):
        sampler = tiny.method(architecture=architecture).sampler
        sample = {n: w[1] for n, w in sampler.draw(2, KEY).items()}
        # float32 sums of 16 terms.
        np.testing.assert_allclose(
            sampler.logits(IMAGES, sample), _plain(sample.values())(IMAGES), rtol=1e-5, atol=1e-5
        )

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    @pytest.mark.parametrize("estimator", SAMPLED_ESTIMATORS)
    def test_gradients_reach_every_variable(self, architecture, estimator):
        member = tiny.member(architecture=architecture, kl_estimator=estimator)
        variables = [v.value for v in member.fitted_variables]
        with tf.GradientTape(persistent=True) as tape:
            parameters = member.sampled_parameters(KEY)
            [outputs] = member.training_outputs(IMAGES, parameters, KEY)
            nll = tf.reduce_sum(outputs**2)
            kl = member.kl(parameters, KEY)
        for loss in (nll, kl):
            gradients = tape.gradient(loss, variables)
            assert len(gradients) == (6 if architecture == "single" else 24)
            assert all(np.isfinite(g).all() and g.numpy().any() for g in gradients)

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_kernel_full_joins_all_weights_of_the_network(self, architecture, monkeypatch):
        member = tiny.member(architecture=architecture, kl_estimator="kernel_full")
        parameters = member.sampled_parameters(KEY)
        rng = np.random.default_rng(0)
        priors = [rng.normal(size=p.shape).astype(np.float32) for p in parameters]
        feed = iter(priors)
        [wrapper] = member.generators
        estimator = wrapper.posterior.kl_estimator
        monkeypatch.setattr(estimator, "prior", lambda shape, key: next(feed))
        q = np.concatenate([e.numpy().reshape(5, -1) for e in parameters], 1).astype(np.float64)
        p = np.concatenate([w.reshape(5, -1) for w in priors], 1).astype(np.float64)
        to_prior = np.sqrt(((q[:, None] - p) ** 2).sum(-1)).min(1)
        to_self = np.sqrt(((q[:, None] - q) ** 2).sum(-1) + np.diag([np.inf] * 5)).min(1)
        expected = NUM_WEIGHTS * np.log(to_prior / to_self).mean() + np.log(5 / 4)
        # Squared distances come from matrix products in float32, and are small between samples.
        np.testing.assert_allclose(member.kl(parameters, KEY), expected, rtol=2e-3)

    def test_the_prior_is_scaled_and_fresh_for_each_key_and_tensor(self):
        member = tiny.member(prior_stddev=0.5)
        [wrapper] = member.generators
        estimator = wrapper.posterior.kl_estimator
        prior = estimator.prior
        assert prior.stddev == 0.5
        seen = []
        estimator.prior = lambda shape, key: seen.append(key.numpy().tobytes()) or prior(shape, key)
        parameters = member.sampled_parameters(KEY)
        first, second = member.kl(parameters, KEY), member.kl(parameters, KEY + 1)
        assert len(set(seen)) == 8
        assert float(first) != float(second)
        assert float(member.kl(parameters, KEY)) == float(first)

    def test_layers_add_the_kl_that_the_loop_computes(self):
        """Drop-in layers with a method's hypernetworks, z and prior samples."""
        member = tiny.member(noise="shared", kl_estimator="kernel_independent")
        [wrapper] = member.generators
        z = wrapper.posterior.z(5, KEY)[0]
        rng = np.random.default_rng(0)
        shapes = [(5, *shape) for shape in SHAPES.values()]
        priors = {shape: rng.normal(size=shape).astype(np.float32) for shape in shapes}

        def prior(shape, key):
            return priors[tuple(shape)]

        wrapper.posterior.kl_estimator.prior = prior
        options = {"prior": prior, "num_train_examples": 10, "hidden_units": tiny.HIDDEN_UNITS}
        conv, dense = Conv2DHypernet(4, 3, **options), DenseHypernet(3, **options)
        conv.build(IMAGES.shape, z.shape)
        dense.build((4, 16), z.shape)
        generators = [g for layer in (conv, dense) for g in layer.posterior.hypernetworks]
        for ours, theirs in zip(generators, _hypernetworks(member), strict=True):
            ours.set_weights(theirs.get_weights())
        conv(IMAGES, noise=z, training=True)
        dense(np.zeros((4, 16), np.float32), noise=z, training=True)
        total = 10 * sum(float(loss) for layer in (conv, dense) for loss in layer.losses)
        # float32 sums of 91 terms, in another order.
        kl = member.kl(member.sampled_parameters(KEY), KEY)
        np.testing.assert_allclose(total, kl, rtol=1e-5)
