"""Adaptive and classwise calibration error; the bins are in test_classification.py."""

import numpy as np
import pytest

from bayes_by_hypernet import metrics


def random_case(num=400, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), num), rng.integers(classes, size=num)


class TestAdaptive:
    def test_by_hand(self):
        # Two bins of two: (0.6, 0.7) one right, (0.8, 0.9) both right.
        probs = [[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.9, 0.1]]
        error = metrics.adaptive_calibration_error(probs, [0, 1, 0, 0], num_bins=2)
        assert error == pytest.approx(0.5 * abs(0.65 - 0.5) + 0.5 * abs(0.85 - 1))

    @pytest.mark.parametrize("num_bins", [1, 3, 7, 15, 400])
    def test_equals_equal_shares_of_the_sorted_examples(self, num_bins):
        probs, labels = random_case(420)
        order = np.argsort(probs.max(axis=1))
        expected = 0.0
        # Without ties rank r is in bin floor(r * bins / n).
        bins = np.arange(420) * num_bins // 420
        for k in range(num_bins):
            inside = order[bins == k]
            right = probs[inside].argmax(axis=1) == labels[inside]
            gap = abs(probs[inside].max(axis=1).sum() - right.sum()) if len(inside) else 0
            expected += gap / 420
        error = metrics.adaptive_calibration_error(probs, labels, num_bins)
        assert error == pytest.approx(expected, rel=1e-12)  # float64

    def test_the_order_of_ties_makes_no_difference(self):
        rng = np.random.default_rng(0)
        confidence = rng.choice([0.6, 0.7, 0.8], 50)
        probs, labels = np.stack([confidence, 1 - confidence], 1), rng.integers(2, size=50)
        expected = metrics.adaptive_calibration_error(probs, labels, 10)
        for _ in range(5):
            order = rng.permutation(50)
            # float64 sums in another order.
            error = metrics.adaptive_calibration_error(probs[order], labels[order], 10)
            assert error == pytest.approx(expected, rel=1e-12)

    def test_one_example_and_equal_confidences(self):
        assert metrics.adaptive_calibration_error([[1.0, 0.0]], [0]) == 0
        assert metrics.adaptive_calibration_error([[0.5, 0.5]] * 4, [0, 0, 1, 1]) == 0


class TestClasswise:
    def test_equals_loop_over_classes_and_bins(self):
        probs, labels = random_case()
        errors = []
        for c in range(4):
            error = 0.0
            for k in range(15):
                inside = (probs[:, c] > k / 15) & (probs[:, c] <= (k + 1) / 15)
                if inside.any():
                    error += inside.mean() * abs(
                        probs[inside, c].mean() - np.mean(labels[inside] == c)
                    )
            errors.append(error)
        error = metrics.classwise_calibration_error(probs, labels)
        assert error == pytest.approx(np.mean(errors), rel=1e-12)  # float64

    def test_zero_and_one_are_in_the_outer_bins(self):
        assert metrics.classwise_calibration_error(np.eye(3), [0, 1, 2]) == 0
        # Every example is wrong: of 3 classes two are off by 1 each time.
        assert metrics.classwise_calibration_error(np.eye(3), [1, 2, 0]) == pytest.approx(2 / 3)

    def test_of_two_classes_equals_the_binary_error(self):
        rng = np.random.default_rng(3)
        p, labels = rng.uniform(size=300), rng.integers(2, size=300)
        both = metrics.classwise_calibration_error(np.stack([1 - p, p], 1), labels, 10)
        # The bins of 1 - p mirror those of p where no p is on an edge.
        assert both == pytest.approx(metrics.binary_calibration_error(p, labels, 10), rel=1e-12)


@pytest.mark.parametrize(
    "measure",
    [
        metrics.adaptive_calibration_error,
        metrics.classwise_calibration_error,
        metrics.expected_calibration_error,
        metrics.error_percent,
        metrics.negative_log_likelihood,
        metrics.brier_score,
    ],
)
class TestAll:
    def test_positions_count_as_examples(self, measure):
        probs, labels = random_case(60)
        value = measure(probs.reshape(5, 4, 3, 4), labels.reshape(5, 4, 3))
        assert value == measure(probs, labels)
        assert type(value) is float

    def test_lists_and_small_integers(self, measure):
        probs, labels = random_case(300, classes=2)
        expected = measure(probs, labels)
        assert measure(probs.tolist(), labels.tolist()) == expected
        # 300 examples: more than an int8 or uint8 can count.
        for dtype in (np.int8, np.uint8, np.uint64):
            assert measure(probs, labels.astype(dtype)) == expected

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision(self, measure, dtype):
        import ml_dtypes

        dtype = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
        probs, labels = random_case(200, classes=10)
        halves = probs.astype(dtype)
        # Rounded to 2^-9 at least; a bin that an example leaves changes a mean by 1 / 200 each.
        assert measure(halves, labels) == pytest.approx(measure(probs, labels), rel=0.02, abs=0.02)

    def test_bfloat16_that_is_no_distribution(self, measure):
        import ml_dtypes

        with pytest.raises(ValueError, match="sum to 1 over the last axis within 0.00781"):
            measure(np.array([[0.5, 0.52]], ml_dtypes.bfloat16), [0])

    @pytest.mark.parametrize(
        "probs, labels, message",
        [
            ([[0.5, 0.5], [1.0]], [0, 0], "`probs` must be an array of numbers. Received: list"),
            ([["a", "b"]], [0], "`probs` must hold real numbers. Received: dtype=<U1"),
            ([[0.5 + 0j, 0.5]], [0], "`probs` must hold real numbers. Received: dtype=complex128"),
            ([[None, 1.0]], [0], "`probs` must be finite. Received: 1 values that are not"),
            ([[object(), 1.0]], [0], "`probs` must hold real numbers. Received: dtype=object"),
            ([[0.5, 0.5]], [True], "`labels` must be integers .* dtype=bool"),
            ([[0.5, 0.5]], [2], r"`labels` must be in \[0, 1\]"),
            ([[[0.5, 0.5]]], [0], r"`labels` must be integers of shape \(1, 1\)"),
        ],
    )
    def test_failures(self, measure, probs, labels, message):
        with pytest.raises(ValueError, match=message):
            measure(probs, labels)


def test_bins_must_be_a_number_of_bins():
    for measure in (metrics.adaptive_calibration_error, metrics.classwise_calibration_error):
        with pytest.raises(ValueError, match="`num_bins` must be at least 1. Received: num_bins=0"):
            measure([[1.0, 0.0]], [0], num_bins=0)
        with pytest.raises(ValueError, match="`num_bins` must be an integer of at least 1"):
            measure([[1.0, 0.0]], [0], num_bins=2.5)
