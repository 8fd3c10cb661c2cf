"""The entropy estimate against known divergences, its bias, and its contract."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayes_by_hypernet as bbh
from bayes_by_hypernet.divergences import entropy, gaussian_kl, nearest_neighbor_kl
from bayes_by_hypernet.divergences.estimators import EntropyKL, sampled_estimator

IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["custom_op", "tensorflow"])


def normal(shape, mean=0.0, stddev=1.0, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(mean, stddev, shape).astype(dtype)


class DensityOnly:
    """A prior without samples: to draw from it fails."""

    def log_prob(self, weights):
        return -tf.abs(weights) - np.log(2)


class TestLaw:
    # What the docstring says, from 2 million samples each, to 0.001.
    @pytest.mark.parametrize("n, bias", [(2, 0.015), (5, 0.052), (20, 0.022), (100, 0.005)])
    @pytest.mark.parametrize("mean, stddev", [(0.0, 1.0), (2.0, 0.1)])
    def test_bias_on_normal_posteriors_is_small_and_always_the_same(self, n, bias, mean, stddev):
        num_weights = 400_000 // n
        kl = bbh.entropy_kl(normal((n, num_weights), mean, stddev)) / num_weights
        # One weight's estimate has a standard deviation near 1.1 at n = 2, 0.16 at n = 100, and the
        # cross-entropy of (0, 1) one of 0.7 / sqrt(n): standard errors below 0.003.
        assert abs(kl - gaussian_kl(mean, stddev) - bias) < 0.009

    @pytest.mark.parametrize("n, bias", [(5, -0.077), (20, -0.020), (100, -0.006)])
    def test_bias_on_uniform_posteriors(self, n, bias):
        num_weights = 400_000 // n
        x = np.random.default_rng(1).uniform(-1, 1, (n, num_weights)).astype(np.float32)
        # Entropy log 2; E[w^2] = 1 / 3.
        exact = 1 / 6 + 0.5 * np.log(2 * np.pi) - np.log(2)
        assert abs(bbh.entropy_kl(x) / num_weights - exact - bias) < 0.007

    @IMPLEMENTATIONS
    @pytest.mark.parametrize("stddev", [1e-2, 1e-4, 1e-6, 1e-8])
    def test_narrow_posteriors_are_widened_as_by_the_exact_divergence(
        self, stddev, implementation, cpp_operations
    ):
        noise, num_weights = normal((5, 1000)), 1000
        log_stddev = tf.constant(np.log(stddev), tf.float32)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(log_stddev)
            q = tf.exp(log_stddev) * noise
            kl = bbh.entropy_kl(q, implementation=implementation)
            of_eq_2 = nearest_neighbor_kl(q, normal((5, num_weights), seed=1))
        # KL = stddev^2 / 2 - log(stddev) + const; TINY, 1e-12 squared, is beside 1e-8 / 10.
        gradient = tape.gradient(kl, log_stddev) / num_weights
        np.testing.assert_allclose(gradient, stddev**2 * (noise**2).mean() - 1, rtol=1e-3)
        if stddev < 1e-5:  # below the guard of Eq. 2
            assert tape.gradient(of_eq_2, log_stddev) / num_weights > -0.05

    def test_a_width_that_float32_hardly_holds(self):
        # Log variance -30 (ResNet-32's), around weights of 0.05: some 80 units in the last place.
        mean, noise = normal((1, 1000), 0, 0.05), normal((5, 1000), seed=1)
        log_variance = tf.fill((1000,), -30.0)
        with tf.GradientTape() as tape:
            tape.watch(log_variance)
            kl = bbh.entropy_kl(mean + tf.exp(0.5 * log_variance) * noise)
        # -1/2 for each; where samples round to the same number a part of it is lost.
        np.testing.assert_allclose(np.mean(tape.gradient(kl, log_variance)), -0.5, rtol=0.05)

    def test_by_hand(self):
        # Distances of 3, digamma(2) - digamma(1) = 1; mean of w^2 / 2 = 9 / 4.
        expected = 9 / 4 + 0.5 * np.log(2 * np.pi) - (np.log(3) + 1 + np.log(2))
        np.testing.assert_allclose(bbh.entropy_kl([[0.0], [3.0]]), expected, rtol=1e-6)


class TestPrior:
    @IMPLEMENTATIONS
    def test_is_the_mean_of_its_log_density(self, implementation, cpp_operations):
        q = [normal((6, 3, 2)), normal((6,), seed=1)]
        minus_entropy = bbh.entropy_kl(q, bbh.NormalPrior(), implementation) + sum(
            tf.reduce_sum(bbh.NormalPrior().log_prob(x)) / 6 for x in q
        )
        joined = np.concatenate([x.reshape(6, -1) for x in q], axis=1)
        for prior, log_prob in (
            (bbh.NormalPrior(0.3), tfp.distributions.Normal(0.0, 0.3).log_prob),
            (tfp.distributions.StudentT(3.0, 0.0, 1.0), None),
            (DensityOnly(), tfp.distributions.Laplace(0.0, 1.0).log_prob),
        ):
            kl = bbh.entropy_kl(q, prior, implementation)
            cross_entropy = -tf.reduce_sum((log_prob or prior.log_prob)(joined)) / 6
            np.testing.assert_allclose(kl, minus_entropy + cross_entropy, rtol=1e-4)  # float32

    def test_a_subclass_may_have_another_density(self, cpp_operations):
        class Shifted(bbh.NormalPrior):
            def log_prob(self, weights):
                return super().log_prob(weights - 5.0)

        q = normal((5, 20))
        np.testing.assert_allclose(
            bbh.entropy_kl(q, Shifted()), bbh.entropy_kl(q - 5.0), rtol=1e-5
        )  # float32

    @pytest.mark.parametrize("prior", [tf.random.stateless_normal, "normal", object()])
    def test_without_a_density_is_refused(self, prior):
        for call in (lambda: bbh.entropy_kl(normal((5, 4)), prior), lambda: EntropyKL(prior)):
            with pytest.raises(ValueError, match="`prior` must have a density.*log_prob"):
                call()

    @pytest.mark.parametrize("shape", [(), (5,), (4, 5), (5, 1)])
    def test_of_another_shape_is_refused(self, shape):
        class Wrong(DensityOnly):
            def log_prob(self, weights):
                return tf.zeros(shape)

        with pytest.raises(ValueError, match="`prior`.*in the shape of `weights`. Received"):
            bbh.entropy_kl(normal((5, 4)), Wrong())

    def test_is_not_sampled(self):
        class NeverDrawn(bbh.NormalPrior):
            def __call__(self, shape, seed):
                raise AssertionError("drawn")

        estimate = sampled_estimator("entropy", NeverDrawn())
        function = tf.function(lambda q: estimate([q], tf.constant([1, 2])))
        graph = function.get_concrete_function(tf.ones((5, 8))).graph
        assert not [op.type for op in graph.get_operations() if "Random" in op.type]


class TestContract:
    @IMPLEMENTATIONS
    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    @pytest.mark.parametrize("n", [5, 12])
    def test_dtypes_and_gradients_of_each_tensor(self, n, dtype, implementation, cpp_operations):
        q = [tf.cast(normal((n, *shape), seed=i), dtype) for i, shape in enumerate([(3, 4), ()])]
        results = []
        for given in (q, [tf.cast(x, tf.float64) for x in q]):
            with tf.GradientTape() as tape:
                tape.watch(given)
                kl = bbh.entropy_kl(given, bbh.NormalPrior(0.7), implementation)
            results.append((kl, tape.gradient(kl, given)))
        (kl, gradients), (expected, exact) = results
        assert kl.dtype == (tf.float64 if dtype == "float64" else tf.float32)
        np.testing.assert_allclose(kl, expected, rtol=1e-4)  # float32
        for ours, theirs, x in zip(gradients, exact, q, strict=True):
            assert (ours.dtype, ours.shape) == (x.dtype, x.shape)
            rtol = {"float16": 2e-3, "bfloat16": 2e-2}.get(dtype, 1e-4)  # the gradient is cast
            np.testing.assert_allclose(
                tf.cast(ours, tf.float64), theirs, rtol=rtol, atol=rtol * np.abs(theirs).max()
            )

    def test_lists_are_one_network_and_samples_have_no_order(self):
        q = [normal((5, *shape), seed=i, dtype=np.float64) for i, shape in enumerate([(3, 2), ()])]
        kl = bbh.entropy_kl(q)
        joined = np.concatenate([x.reshape(5, -1) for x in q], axis=1)
        np.testing.assert_allclose(kl, bbh.entropy_kl(joined), rtol=1e-12)  # float64
        np.testing.assert_allclose(kl, sum(map(bbh.entropy_kl, q)), rtol=1e-12)
        np.testing.assert_allclose(kl, bbh.entropy_kl([x[::-1] for x in q]), rtol=1e-12)

    @pytest.mark.parametrize(
        "shape, options, message",
        [
            ((1, 4), {}, "`posterior_samples` must hold at least 2 samples.*num_samples=1"),
            ((), {}, "`posterior_samples` must have a statically known number"),
            ((5, 4), {"implementation": "c"}, "`implementation` must be one of"),
        ],
    )
    def test_message_names_argument(self, shape, options, message):
        with pytest.raises(ValueError, match=message):
            bbh.entropy_kl(np.ones(shape, np.float32), **options)

    def test_xla_compiles_tensorflows_form_and_refuses_the_operation(
        self, monkeypatch, cpp_operations
    ):
        monkeypatch.delenv("BBH_CPP_OPS", raising=False)
        q, used = tf.constant(normal((5, 20))), []
        custom = entropy.custom_entropy.entropy_kl
        monkeypatch.setattr(
            entropy.custom_entropy, "entropy_kl", lambda *a: used.append(a) or custom(*a)
        )
        eager = bbh.entropy_kl(q)
        assert used
        used.clear()
        np.testing.assert_allclose(
            tf.function(bbh.entropy_kl, jit_compile=True)(q), eager, atol=1e-4
        )  # float32, 20 terms of order 1
        assert not used
        with pytest.raises(tf.errors.InvalidArgumentError, match="BayesByHypernet>EntropyKl"):
            tf.function(lambda q: bbh.entropy_kl(q, implementation="custom_op"), jit_compile=True)(
                q
            )
