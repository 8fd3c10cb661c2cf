"""Temperature scaling."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from bayes_by_hypernet import calibration, metrics


def draw_labels(probs, rng):
    """Labels from rows of probabilities `(n, classes)`."""
    return (
        (rng.random((len(probs), 1)) > probs.cumsum(axis=1))
        .sum(axis=1)
        .clip(max=probs.shape[1] - 1)
    )


def overconfident(temperature, num=20_000, seed=0):
    """Logits that are too large by a factor, with labels."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(num, 4)) * 2
    return true * temperature, draw_labels(softmax(true, axis=1), rng)


class TestTemperature:
    @pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
    def test_recovers_a_known_temperature(self, temperature):
        logits, labels = overconfident(temperature)
        scaling = calibration.fit_temperature(logits, labels, from_logits=True)
        # Its standard error is about 1 % with 20,000 labels.
        assert scaling.temperature == pytest.approx(temperature, rel=0.05)
        assert metrics.expected_calibration_error(scaling(logits), labels) < 0.02

    def test_probabilities_give_what_logits_give(self):
        logits, labels = overconfident(2.5, 2000)
        of_logits = calibration.fit_temperature(logits, labels, from_logits=True)
        of_probs = calibration.fit_temperature(softmax(logits, axis=1), labels)
        # The minimum is found to 1e-6 in log T; float64 finds it flat within 1e-8 around.
        assert of_probs.temperature == pytest.approx(of_logits.temperature, rel=1e-5)
        np.testing.assert_allclose(
            of_probs.apply(softmax(logits, axis=1)), of_logits.apply(logits), atol=1e-5
        )

    def test_by_hand(self):
        # 0.99 claimed, 2 of 3 right: logit(2/3) = logit(0.99) / T.
        scaling = calibration.fit_temperature([[0.99, 0.01]] * 3, [0, 0, 1])
        assert scaling.temperature == pytest.approx(np.log(99) / np.log(2), rel=1e-5)
        np.testing.assert_allclose(scaling([0.5, 0.5]), [0.5, 0.5])
        expected = -np.mean(np.log([2 / 3, 2 / 3, 1 / 3]))
        assert scaling.nll == pytest.approx(expected, rel=1e-9)
        assert scaling.nll_before == pytest.approx(-np.mean(np.log([0.99, 0.99, 0.01])))

    def test_samples_are_tempered_and_then_averaged(self):
        rng = np.random.default_rng(1)
        logits, labels = overconfident(3.0, 2000)
        samples = logits + rng.normal(size=(5, *logits.shape))
        scaling = calibration.fit_temperature(samples, labels, from_logits=True)
        expected = softmax(samples / scaling.temperature, axis=-1).mean(axis=0)
        np.testing.assert_allclose(scaling(samples), expected, rtol=1e-12)
        assert scaling.from_samples and scaling.temperature > 1.5
        assert scaling.nll == pytest.approx(metrics.negative_log_likelihood(expected, labels))
        # A slow search along a fine grid finds nothing better.
        values = [
            metrics.negative_log_likelihood(softmax(samples / t, axis=-1).mean(axis=0), labels)
            for t in np.geomspace(0.05, 20, 400)
        ]
        assert scaling.nll <= min(values) + 1e-9

    def test_never_worsens_the_likelihood(self):
        for seed in range(20):
            rng = np.random.default_rng(seed)
            probs = rng.dirichlet(np.full(3, 0.3), 7)
            labels = draw_labels(probs, rng)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of 7 labels some sets have no error
                scaling = calibration.fit_temperature(probs, labels)
            assert scaling.nll <= scaling.nll_before
            before = metrics.negative_log_likelihood(probs, labels)
            assert scaling.nll_before == pytest.approx(before, rel=1e-9)
            after = metrics.negative_log_likelihood(scaling(probs), labels)
            assert after == pytest.approx(scaling.nll, rel=1e-9)

    def test_one_is_kept_where_nothing_is_better(self):
        # Uniform predictions are the same at any temperature; bounds may not hold 1.
        assert calibration.fit_temperature([[0.5, 0.5]] * 3, [0, 1, 1]).temperature == 1
        logits, labels = overconfident(1.0, 2000)
        scaling = calibration.fit_temperature(logits, labels, from_logits=True, bounds=(5, 9))
        assert scaling.temperature == 1 and scaling.nll == scaling.nll_before

    def test_predicted_classes_stay(self):
        logits, labels = overconfident(4.0, 500)
        scaling = calibration.fit_temperature(logits, labels, from_logits=True)
        np.testing.assert_array_equal(scaling(logits).argmax(axis=1), logits.argmax(axis=1))

    def test_zero_and_one(self):
        # An impossible label has the likelihood of the floor; 0^(1/T) would stay 0.
        scaling = calibration.fit_temperature([[1.0, 0.0]] * 4, [0, 0, 0, 1], bounds=(0.05, 200))
        assert np.isfinite([scaling.temperature, scaling.nll]).all()
        np.testing.assert_allclose(scaling([[1.0, 0.0]]), [[0.75, 0.25]], rtol=1e-4)

    def test_no_errors_warn(self):
        with pytest.warns(UserWarning, match=r"on the bound 0.05 of bounds=\(0.05, 20.0\)"):
            scaling = calibration.fit_temperature([[0.9, 0.1], [0.8, 0.2]], [0, 0])
        assert scaling.temperature == pytest.approx(0.05, rel=1e-3)

    def test_positions(self):
        logits, labels = overconfident(2.0, 600)
        flat = calibration.fit_temperature(logits, labels, from_logits=True)
        image = logits.reshape(6, 10, 10, 4)
        scaling = calibration.fit_temperature(image, labels.reshape(6, 10, 10), from_logits=True)
        assert scaling == flat
        samples = np.stack([image, image])
        scaling = calibration.fit_temperature(samples, labels.reshape(6, 10, 10), from_logits=True)
        assert scaling.temperature == pytest.approx(flat.temperature, rel=1e-5)
        assert scaling(samples).shape == image.shape

    def test_extreme_logits_are_stable(self):
        scaling = calibration.TemperatureScaling(0.01, from_logits=True)
        np.testing.assert_array_equal(scaling([[1e6, 0.0], [-1e6, 0.0]]), [[1, 0], [0, 1]])

    def test_is_frozen(self):
        scaling = calibration.TemperatureScaling(2.0)
        with pytest.raises(dataclasses.FrozenInstanceError):
            scaling.temperature = 3.0
        for temperature in (0, -1, np.nan, np.inf, "2"):
            with pytest.raises(ValueError, match="`temperature` must be a number above 0"):
                calibration.TemperatureScaling(temperature)

    def test_half_precision_and_lists(self):
        import ml_dtypes

        logits, labels = overconfident(2.0, 500)
        probs = softmax(logits, axis=1)
        expected = calibration.fit_temperature(probs, labels).temperature
        halves = probs.astype(ml_dtypes.bfloat16)
        for values, tolerance in ((probs.tolist(), 1e-9), (halves, 0.05)):  # rounded to 2^-9
            found = calibration.fit_temperature(values, labels.tolist()).temperature
            assert found == pytest.approx(expected, rel=tolerance)

    @pytest.mark.parametrize(
        "predictions, labels, settings, message",
        [
            ([[2.0, 1.0]], [0], {}, "`predictions` must hold probabilities, which sum to 1"),
            ([[2.0, np.inf]], [0], {"from_logits": True}, "`predictions` must be finite"),
            ([[0.5, 0.5]], [0, 1], {}, "Argument `predictions` must have shape"),
            ([[[0.5, 0.5]]], [[[0]]], {}, "Argument `predictions` must have shape"),
            ([0.5, 0.5], 0, {}, "Argument `predictions` must have shape"),
            ([[0.5, 0.5]], [2], {}, r"`labels` must be in \[0, 1\]"),
            ([[0.5, 0.5]], [0.0], {}, "`labels` must be integers"),
            ([[0.5, 0.5]], [0], {"bounds": (0, 1)}, "`bounds` must be two temperatures"),
            ([[0.5, 0.5]], [0], {"bounds": (2, 1)}, "`bounds` must be two temperatures"),
            ([[0.5, 0.5]], [0], {"bounds": 2}, "`bounds` must be two temperatures"),
        ],
    )
    def test_failures(self, predictions, labels, settings, message):
        with pytest.raises(ValueError, match=message):
            calibration.fit_temperature(predictions, labels, **settings)


class TestBinary:
    def case(self, temperatures=(2.0, 4.0, 0.5), num=20_000):
        rng = np.random.default_rng(0)
        true = rng.normal(size=(num, len(temperatures))) * 2
        labels = (rng.uniform(size=true.shape) < expit(true)).astype(int)
        return true * temperatures, labels

    def test_recovers_a_temperature_for_each_label(self):
        logits, labels = self.case()
        scaling = calibration.fit_binary_temperature(logits, labels, True, per_label=True)
        # Standard errors of about 2 %.
        np.testing.assert_allclose(scaling.temperature, [2.0, 4.0, 0.5], rtol=0.08)
        before = metrics.binary_negative_log_likelihood(expit(logits), labels)
        assert scaling.nll_before == pytest.approx(before, rel=1e-9)
        after = metrics.binary_negative_log_likelihood(scaling(logits), labels)
        assert after == pytest.approx(scaling.nll, rel=1e-9) and after < before
        one = calibration.fit_binary_temperature(logits, labels, True)
        assert scaling.nll < one.nll < before
        assert type(one.temperature) is float

    def test_equals_two_classes(self):
        logits, labels = self.case((3.0,), 2000)
        logits, labels = logits[:, 0], labels[:, 0]
        binary = calibration.fit_binary_temperature(logits, labels, from_logits=True)
        both = np.stack([np.zeros_like(logits), logits], axis=1)
        classes = calibration.fit_temperature(both, labels, from_logits=True)
        assert binary.temperature == pytest.approx(classes.temperature, rel=1e-5)
        np.testing.assert_allclose(binary(logits), classes(both)[:, 1], atol=1e-6)
        probs = calibration.fit_binary_temperature(expit(logits), labels)
        assert probs.temperature == pytest.approx(binary.temperature, rel=1e-5)

    def test_samples_are_tempered_and_then_averaged(self):
        logits, labels = self.case((2.0, 2.0), 1000)
        samples = logits + np.random.default_rng(1).normal(size=(4, 1000, 2))
        for per_label in (False, True):
            scaling = calibration.fit_binary_temperature(samples, labels, True, per_label)
            expected = expit(samples / scaling.temperature).mean(axis=0)
            np.testing.assert_allclose(scaling(samples), expected, rtol=1e-12)
            nll = metrics.binary_negative_log_likelihood(expected, labels)
            assert scaling.nll == pytest.approx(nll, rel=1e-9)

    def test_zero_and_one(self):
        scaling = calibration.fit_binary_temperature([1.0, 1.0, 0.0], [1, 0, 0], bounds=(0.05, 500))
        assert np.isfinite([scaling.temperature, scaling.nll]).all()
        assert scaling([1.0])[0] == pytest.approx(2 / 3, rel=1e-3)

    @pytest.mark.parametrize(
        "predictions, labels, settings, message",
        [
            ([1.5], [1], {}, r"`predictions` must be in \[0, 1\]"),
            ([0.5], [2], {}, "`labels` must be 0 or 1"),
            ([0.5], [1, 0], {}, "`predictions` must have shape"),
            ([0.5], [1], {"per_label": True}, r"shape \(examples, ..., labels\) with per_label"),
        ],
    )
    def test_failures(self, predictions, labels, settings, message):
        with pytest.raises(ValueError, match=message):
            calibration.fit_binary_temperature(predictions, labels, **settings)

    def test_another_number_of_labels(self):
        scaling = calibration.BinaryTemperatureScaling(np.array([1.0, 2.0]))
        with pytest.raises(ValueError, match=r"must have 2 labels .*shape=\(1, 1\)"):
            scaling([[0.5]])  # would broadcast to two
        with pytest.raises(ValueError, match="`temperature` must be positive"):
            calibration.BinaryTemperatureScaling(np.array([1.0, -2.0]))


def test_log_probabilities_are_logits():
    logits, labels = overconfident(2.0, 300)
    first = calibration.fit_temperature(logits, labels, from_logits=True)
    second = calibration.fit_temperature(log_softmax(logits, axis=1), labels, from_logits=True)
    assert first.temperature == pytest.approx(second.temperature, rel=1e-5)
