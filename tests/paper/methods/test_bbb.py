"""Bayes by Backprop: its two forward passes and the four estimators of its KL (Table 5)."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet.divergences import gaussian_kl, nearest_neighbor_kl
from bayes_by_hypernet.layers import Conv2DReparameterization, DenseFlipout
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.methods import KL_ESTIMATORS, BayesByBackpropOptions

KEY = tf.constant([1, 2], tf.int32)
IMAGES = tf.constant(tiny.examples(4).images)


def _moments(member):
    """Mean and standard deviation of every weight tensor, by name."""
    values = {v.path: v.numpy() for v in member.fitted_variables}
    return {
        name.replace("_mean", ""): (mean, np.exp(values[name[:-4] + "log_variance"] / 2))
        for name, mean in values.items()
        if name.endswith("_mean")
    }


class TestOptions:
    @pytest.mark.parametrize(
        "options, match",
        [
            ({"forward": "local"}, r"`forward` must be one of \('flipout', 'repar.*'local'"),
            ({"kl_estimator": "kernel"}, "`kl_estimator` must be one of.*'analytic'.*'kernel'"),
            ({"num_kl_samples": 1}, "at least 2, since the estimate.*num_kl_samples=1"),
            ({"prior_stddev": 0.0}, "`prior_stddev`.*positive"),
            ({"adversarial_weights": 8}, "for kl_estimator='adversarial' only.*'analytic'"),
            (
                {"kl_estimator": "adversarial", "adversarial_weights": 0},
                "`adversarial_weights` must be at least 1",
            ),
        ],
    )
    def test_are_validated(self, options, match):
        with pytest.raises(ValueError, match=match):
            BayesByBackpropOptions(**options)

    def test_forward_chooses_the_layers(self):
        members = tiny.member("bbb"), tiny.member("bbb", forward="reparameterization")
        assert isinstance(members[0].posterior_layers[1], DenseFlipout)
        assert isinstance(members[1].posterior_layers[0], Conv2DReparameterization)


class TestPosterior:
    def test_draws_are_gaussian_with_the_layers_moments(self):
        method = tiny.method("bbb")
        draws = method.sampler.draw(4000, KEY)
        moments = _moments(method.members[""])
        assert list(draws) == list(moments)
        for name, (mean, std) in moments.items():
            error = 5 * std.max() / np.sqrt(4000)
            np.testing.assert_allclose(np.mean(draws[name], 0), mean, atol=error)
            np.testing.assert_allclose(np.std(draws[name], 0), std, atol=error)

    def test_weights_of_a_sample_are_those_of_a_plain_network(self):
        sampler = tiny.method("bbb").sampler
        sample = {n: w[0] for n, w in sampler.draw(1, KEY).items()}
        plain = tiny.tiny(dropout=False)
        plain.set_weights(list(sample.values()))
        np.testing.assert_allclose(sampler.logits(IMAGES, sample), plain(IMAGES), atol=1e-5)

    @pytest.mark.parametrize("forward", ["flipout", "reparameterization"])
    def test_training_and_sampled_weights_predict_with_the_same_mean(self, forward):
        """The layers' own forward pass against weight samples, for the first logit's moments."""
        method = tiny.method("bbb", forward=forward)
        sampler, [member] = method.sampler, method.members.values()
        for variable in member.fitted_variables:
            if "log_variance" in variable.path:
                variable.assign(np.full(variable.shape, -3.0))
        parameters, num = member.sampled_parameters(KEY), 3000

        @tf.function
        def trained(i):
            return member.training_outputs(IMAGES, parameters, tf.stack([i, 7]))[0]

        trained = np.stack([trained(tf.constant(i)) for i in range(num)])
        draws = sampler.draw(num, KEY)
        drawn = tf.map_fn(
            lambda s: sampler.logits(IMAGES, s), draws, fn_output_signature=tf.float32
        )
        # Five standard errors of the difference of two means; of the moments of any one example,
        # which Flipout leaves as they are.
        error = 5 * np.std(drawn) * np.sqrt(2 / num)
        np.testing.assert_allclose(trained.mean(0), np.mean(drawn, 0), atol=error)
        np.testing.assert_allclose(trained.std(0), np.std(drawn, 0), atol=error)

    def test_training_draws_follow_the_key(self):
        member = tiny.member("bbb")
        parameters = member.sampled_parameters(KEY)
        logits = [
            member.training_outputs(IMAGES, parameters, key)[0] for key in (KEY, KEY, KEY + 1)
        ]
        np.testing.assert_array_equal(logits[0], logits[1])
        assert (logits[0] != logits[2]).numpy().any()


class TestKL:
    def test_analytic_is_the_gaussian_divergence(self):
        member = tiny.member("bbb", prior_stddev=0.5)
        expected = sum(gaussian_kl(m, s, 0.5) for m, s in _moments(member).values())
        np.testing.assert_allclose(
            member.kl(member.sampled_parameters(KEY), KEY), expected, rtol=1e-5
        )

    @pytest.mark.parametrize("kernel", ["independent", "full"])
    def test_kernel_estimates_are_of_weight_samples_and_as_many_of_the_prior(
        self, kernel, monkeypatch
    ):
        member = tiny.member("bbb", kl_estimator=f"kernel_{kernel}", num_kl_samples=4)
        seen = []

        def spy(posterior, prior, estimator, implementation):
            seen.append((posterior, prior, estimator))
            return nearest_neighbor_kl(posterior, prior, estimator, implementation)

        monkeypatch.setattr(
            "bayes_by_hypernet.divergences.nearest_neighbor.nearest_neighbor_kl", spy
        )
        # Samples of a prior that is not the normal one exist as tensors on every path.
        member.estimator.prior = tf.random.stateless_normal
        kl = member.kl(member.sampled_parameters(KEY), KEY)
        assert np.isfinite(kl)
        [(posterior, prior, estimator)] = seen
        assert estimator == kernel
        assert [q.shape for q in posterior] == [p.shape for p in prior]
        assert posterior[0].shape == (4, 3, 3, 1, 4)
        for q, (mean, std) in zip(posterior, _moments(member).values(), strict=True):
            assert (np.abs(q - mean) < 6 * std).all()  # draws of the posterior, not of the prior

    @pytest.mark.parametrize("forward", ["flipout", "reparameterization"])
    @pytest.mark.parametrize("estimator", KL_ESTIMATORS)
    def test_gradients_reach_every_variable_through_the_parameters(self, estimator, forward):
        member = tiny.member("bbb", kl_estimator=estimator, forward=forward)
        with tf.GradientTape(persistent=True) as tape:
            parameters = member.sampled_parameters(KEY)
            [outputs] = member.training_outputs(IMAGES, parameters, KEY)
            nll = tf.reduce_sum(outputs**2)
            kl = member.kl(parameters, KEY)
        for loss in (nll, kl):
            gradients = tape.gradient(loss, [v.value for v in member.fitted_variables])
            assert all(g is not None and np.isfinite(g).all() for g in gradients)
            assert all(g.numpy().any() for g in gradients)

    def test_parameters_stand_in_for_the_variables(self):
        """Twice the values give another KL, and leave the variables alone."""
        member = tiny.member("bbb")
        before = member.get_weights()
        parameters = member.sampled_parameters(KEY)
        kl = float(member.kl(parameters, KEY))
        assert float(member.kl([2 * p for p in parameters], KEY)) != kl
        for a, b in zip(before, member.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_only_the_adversarial_estimate_has_a_discriminator(self):
        assert tiny.member("bbb").estimator is None
        assert not tiny.member("bbb", kl_estimator="kernel_full").estimator.auxiliary_variables
        members = {name: tiny.member(name, kl_estimator="adversarial") for name in ("bbb", "bbh")}
        units = {
            name: [layer.units for layer in member.estimator.discriminator.layers]
            for name, member in members.items()
        }
        assert units == {"bbb": [64, 64, 1], "bbh": [64, 64, 64, 1]}

    def test_settings_of_the_protocol(self):
        cls = methods.get("bbb")
        assert (cls.learning_rate, cls.anneals_kl) == (1e-3, False)
        options = cls.Options()
        assert (options.forward, options.kl_estimator) == ("flipout", "analytic")
        assert options.num_kl_samples == 5
