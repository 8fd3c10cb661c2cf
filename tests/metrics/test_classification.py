from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from absl.testing import parameterized
from scipy import integrate

from bayes_by_hypernet import metrics

# Three classes, four examples; predicted 0, 1, 1, 2 with confidence 0.8, 0.6, 0.5, 1.
PROBS = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.4, 0.5, 0.1], [0.0, 0.0, 1.0]])
LABELS = np.array([0, 1, 0, 2])


@pytest.mark.parametrize("case", ["10_sharp", "10_mid", "10_flat", "5_sharp", "5_mid", "5_flat"])
def test_entropy_equals_authors_code(golden, case):
    probs = golden[f"entropy_auc/{case}/probs"]
    entropy = metrics.predictive_entropy(probs)
    # The authors' is float32 and smaller by up to 1.1e-5: 1e-6 in the logarithm of ten classes.
    np.testing.assert_allclose(entropy, golden[f"entropy_auc/{case}/entropy"], atol=2e-5)
    expected = golden[f"entropy_auc/{case}/auc_over_max_entropy"]
    # The authors integrate a histogram of 500 bins: an error of up to one bin, 1 / 500.
    np.testing.assert_allclose(metrics.entropy_auc(probs), expected, atol=2e-3)


def random_probs(shape, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(shape[-1], 0.5), shape[:-1])


class EntropyTest(parameterized.TestCase):
    def test_by_hand(self):
        probs = [[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]
        expected = [0.0, np.log(2), 0.25 * np.log(4) + 0.75 * np.log(4 / 3)]
        np.testing.assert_allclose(metrics.predictive_entropy(probs), expected, rtol=1e-12)
        # 1 - mean / log 2, in float64 like all of these.
        self.assertAlmostEqual(metrics.entropy_auc(probs), 1 - np.mean(expected) / np.log(2), 12)

    def test_any_leading_shape(self):
        self.assertEqual(metrics.predictive_entropy(random_probs((2, 3, 4))).shape, (2, 3))
        self.assertEqual(metrics.predictive_entropy([0.5, 0.5]).shape, ())

    def test_auc_is_the_area_under_the_empirical_cdf(self):
        probs = random_probs((50, 4))
        entropy = np.sort(metrics.predictive_entropy(probs))
        # A step function: k / 50 of the examples lie below the k-th entropy.
        edges = np.concatenate([entropy, [np.log(4)]])
        area = np.sum(np.arange(1, 51) / 50 * np.diff(edges)) / np.log(4)
        self.assertAlmostEqual(metrics.entropy_auc(probs), area, places=12)  # float64

    def test_cdf_is_the_share_of_examples_with_at_most_an_entropy(self):
        probs = random_probs((50, 4))
        relative = metrics.predictive_entropy(probs) / np.log(4)
        expected = [np.mean(relative <= k / 10) for k in range(11)]
        np.testing.assert_allclose(metrics.entropy_cdf(probs, 11), expected, rtol=1e-12)

    def test_area_below_the_cdf_is_the_auc(self):
        probs = random_probs((500, 4))
        # Between neighbouring points the CDF rises by 1 / 500 a time: errors of 1e-3 at most.
        area = integrate.trapezoid(metrics.entropy_cdf(probs, 1001), dx=1e-3)
        self.assertAlmostEqual(metrics.entropy_auc(probs), area, delta=1e-3)

    def test_cdf_of_extremes(self):
        np.testing.assert_array_equal(metrics.entropy_cdf(np.eye(3)), np.ones(201))
        uniform = metrics.entropy_cdf(np.full((5, 3), 1 / 3))
        np.testing.assert_array_equal(uniform, [0.0] * 200 + [1.0])

    def test_cdf_needs_two_points(self):
        with self.assertRaisesRegex(ValueError, "`num_points` must be at least 2"):
            metrics.entropy_cdf(np.eye(3), num_points=1)

    def test_auc_of_extremes(self):
        self.assertEqual(metrics.entropy_auc(np.eye(3)), 1.0)
        uniform = metrics.entropy_auc(np.full((5, 3), 1 / 3))
        self.assertAlmostEqual(uniform, 0.0, places=12)  # float64

    def test_one_class_has_no_auc(self):
        with self.assertRaisesRegex(ValueError, r"at least 2 classes. Received: shape=\(4, 1\)"):
            metrics.entropy_auc(np.ones((4, 1)))
        with self.assertRaisesRegex(ValueError, r"at least 2 classes. Received: shape=\(4, 1\)"):
            metrics.entropy_cdf(np.ones((4, 1)))


class ScoreTest(parameterized.TestCase):
    def test_by_hand(self):
        # All of it float64: 12 places.
        self.assertEqual(metrics.error_percent(PROBS, LABELS), 25.0)
        nll = -np.log([0.8, 0.6, 0.4, 1.0]).mean()
        self.assertAlmostEqual(metrics.negative_log_likelihood(PROBS, LABELS), nll, places=12)
        # 0.2^2 + 2 * 0.1^2, 0.3^2 + 0.4^2 + 0.1^2, 0.6^2 + 0.5^2 + 0.1^2, 0.
        brier = (0.06 + 0.26 + 0.62) / 4
        self.assertAlmostEqual(metrics.brier_score(PROBS, LABELS), brier, places=12)

    def test_calibration_error_by_hand(self):
        # Two bins, (0, 0.5] and (0.5, 1]: |0.5 - 0| for one, |0.8 - 1| for three examples.
        calibration = metrics.expected_calibration_error(PROBS, LABELS, num_bins=2)
        self.assertAlmostEqual(calibration, (0.5 + 3 * 0.2) / 4, places=12)

    def test_calibration_error_equals_loop_over_bins(self):
        probs = random_probs((500, 4))
        labels = np.random.default_rng(1).integers(4, size=500)
        expected, confidence = 0.0, probs.max(axis=1)
        for k in range(15):
            inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
            if inside.any():
                accuracy = np.mean(probs[inside].argmax(axis=1) == labels[inside])
                expected += inside.mean() * abs(accuracy - confidence[inside].mean())
        calibration = metrics.expected_calibration_error(probs, labels)
        self.assertAlmostEqual(calibration, expected, places=12)  # float64

    @parameterized.parameters(1, 2, 7, 10, 15, 25, 50, 100)
    def test_confidences_on_edges_belong_to_the_bin_below(self, num_bins):
        # In exact arithmetic, of every confidence of two decimals and of every edge.
        exact = [Fraction(k, 100) for k in range(50, 101)]
        exact += [Fraction(k, num_bins) for k in range(1, num_bins + 1) if 2 * k >= num_bins]
        expected = np.bincount([ceil(c * num_bins) - 1 for c in exact], minlength=num_bins)
        probs = np.array([[float(c), 1 - float(c)] for c in exact])
        bins = metrics.calibration_bins(probs, np.zeros(len(exact), int), num_bins)
        np.testing.assert_array_equal(bins.counts, expected)

    def test_a_confidence_on_an_edge_by_hand(self):
        # 0.56 = 14 / 25 and 0.57 lie in bins 13 and 14, counted from 0; both are right.
        bins = metrics.calibration_bins([[0.56, 0.44], [0.57, 0.43]], [0, 0], num_bins=25)
        np.testing.assert_array_equal(np.flatnonzero(bins.counts), [13, 14])
        np.testing.assert_allclose(bins.confidence[13:15], [0.56, 0.57], rtol=1e-12)
        # In one bin, 0.56 and 0.58 of which one is right have |0.57 - 0.5|; in two, their mean gap.
        pair = [[0.56, 0.44], [0.58, 0.42]], [0, 1]
        together = metrics.expected_calibration_error(*pair, num_bins=10)
        apart = metrics.expected_calibration_error(*pair, num_bins=25)
        self.assertAlmostEqual(together, 0.07, places=12)  # float64
        self.assertAlmostEqual(apart, (0.44 + 0.58) / 2, places=12)  # float64

    def test_fifteen_bins_of_float32_predictions_are_those_of_the_committed_results(self):
        # Those were computed by multiplication. Below 1 no float32 equals k / 15.
        confidence = np.linspace(0.5, 1, 200_001, dtype=np.float32).astype(np.float64)
        multiplied = np.ceil(confidence * 15).astype(int) - 1
        probs = np.stack([confidence, 1 - confidence], axis=1)
        bins = metrics.calibration_bins(probs, np.zeros(len(probs), int))
        np.testing.assert_array_equal(bins.counts, np.bincount(multiplied, minlength=15))

    def test_calibrated_predictions_have_small_calibration_error(self):
        rng = np.random.default_rng(2)
        probs = random_probs((20_000, 3), seed=3)
        labels = (rng.random((20_000, 1)) > probs.cumsum(axis=1)).sum(axis=1).clip(max=2)
        # The mean absolute deviation of 15 frequencies of about 1,300 examples: below 0.01.
        self.assertLess(metrics.expected_calibration_error(probs, labels), 0.02)

    def test_impossible_label_has_finite_likelihood(self):
        nll = metrics.negative_log_likelihood([[1.0, 0.0]], [1])
        self.assertAlmostEqual(nll, -np.log(metrics.PROBABILITY_FLOOR), places=12)
        self.assertEqual(metrics.brier_score([[1.0, 0.0]], [1]), 2.0)

    def test_results_are_python_floats(self):
        for score in (
            metrics.error_percent,
            metrics.negative_log_likelihood,
            metrics.brier_score,
            metrics.expected_calibration_error,
        ):
            self.assertIs(type(score(PROBS.astype(np.float32), LABELS)), float)
        self.assertIs(type(metrics.entropy_auc(PROBS)), float)
        self.assertIs(type(metrics.outlier_auroc([0.1], [0.2])), float)


class OutlierAUROCTest(parameterized.TestCase):
    def test_equals_chance_that_outlier_is_larger(self):
        rng = np.random.default_rng(0)
        inside, outside = rng.integers(0, 20, 40) / 10, rng.integers(5, 25, 30) / 10
        larger = (outside[:, None] > inside) + 0.5 * (outside[:, None] == inside)
        auroc = metrics.outlier_auroc(inside, outside)
        self.assertAlmostEqual(auroc, larger.mean(), places=12)  # float64

    @parameterized.named_parameters(
        ("shape", [[0.1]], [0.1], r"`in_entropy` must have shape \(examples,\)"),
        ("empty", [0.1], [], "`out_entropy` must have shape"),
        ("nan", [0.1], [0.2, np.nan], "`out_entropy` must be finite. Received: 1 values"),
    )
    def test_failures(self, inside, outside, message):
        with self.assertRaisesRegex(ValueError, message):
            metrics.outlier_auroc(inside, outside)


class MutualInformationTest(parameterized.TestCase):
    def test_by_hand(self):
        # Samples that contradict each other, that agree, and that agree on not knowing.
        probs = np.array([[[1, 0], [0.9, 0.1], [0.5, 0.5]], [[0, 1], [0.9, 0.1], [0.5, 0.5]]])
        expected = [np.log(2), 0, 0]
        np.testing.assert_allclose(metrics.mutual_information(probs), expected, atol=1e-12)

    def test_is_mean_divergence_from_the_mean(self):
        probs = random_probs((7, 5, 3))
        mean = probs.mean(axis=0)
        expected = np.sum(probs * np.log(probs / mean), axis=-1).mean(axis=0)
        information = metrics.mutual_information(probs)
        np.testing.assert_allclose(information, expected, rtol=1e-10)  # float64
        self.assertTrue((information >= 0).all())

    def test_needs_three_axes(self):
        with self.assertRaisesRegex(ValueError, r"`sample_probs` must have shape \(samples, "):
            metrics.mutual_information(PROBS)


class ValidationTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("shape", PROBS[0], LABELS, r"`probs` must have shape \(examples, ..., classes\)"),
        ("empty", np.ones((0, 3)), np.ones(0, int), r"Received: shape=\(0, 3\)"),
        ("nan", PROBS * np.nan, LABELS, "`probs` must be finite. Received: 12 values"),
        ("logits", PROBS * 3, LABELS, "sum to 1 .* Received: sums from 3 to 3"),
        ("negative", PROBS - [0.2, 0, -0.2], LABELS, "`probs` must not be negative"),
        ("count", PROBS, LABELS[:3], r"`labels` must be integers of shape \(4,\)"),
        ("one_hot", PROBS, np.eye(3)[LABELS], r"Received: shape=\(4, 3\)"),
        ("floats", PROBS, LABELS + 0.5, "Received: .*dtype=float64"),
        ("range", PROBS, LABELS + 1, r"in \[0, 2\], .*3 classes. Received: values from 1 to 3"),
    )
    def test_failures(self, probs, labels, message):
        for score in (metrics.error_percent, metrics.expected_calibration_error):
            with self.assertRaisesRegex(ValueError, message):
                score(probs, labels)

    def test_bins(self):
        with self.assertRaisesRegex(ValueError, "`num_bins` must be at least 1"):
            metrics.expected_calibration_error(PROBS, LABELS, num_bins=0)

    def test_softmax_in_float32_passes(self):
        probs = random_probs((100, 10)).astype(np.float32) * np.float32(1.0005)
        self.assertEqual(metrics.predictive_entropy(probs).shape, (100,))
