"""Measures of binary and multi-label predictions."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from bayes_by_hypernet import metrics

ALL = [
    metrics.binary_brier_score,
    metrics.binary_calibration_error,
    metrics.binary_error_percent,
    metrics.binary_negative_log_likelihood,
]


def random_case(shape=(300,), seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=shape), rng.integers(2, size=shape)


def test_equals_sklearn():
    probs, labels = random_case()
    # float64 on both sides.
    nll = metrics.binary_negative_log_likelihood(probs, labels)
    assert nll == pytest.approx(log_loss(labels, probs), rel=1e-12)
    brier = metrics.binary_brier_score(probs, labels)
    assert brier == pytest.approx(brier_score_loss(labels, probs), rel=1e-12)


def test_equals_the_measures_of_two_classes():
    probs, labels = random_case()
    both = np.stack([1 - probs, probs], axis=1)
    pairs = [
        (metrics.binary_negative_log_likelihood, metrics.negative_log_likelihood, 1),
        (metrics.binary_error_percent, metrics.error_percent, 1),
        (metrics.binary_brier_score, metrics.brier_score, 2),
    ]
    for binary, classes, factor in pairs:
        expected = pytest.approx(classes(both, labels), rel=1e-12)  # float64
        assert factor * binary(probs, labels) == expected


def test_calibration_error_by_hand():
    # Bins (0, 0.5] and (0.5, 1]: means 0.25 and 0.8, shares 1/2 and 1.
    error = metrics.binary_calibration_error([0.0, 0.5, 0.8], [1, 0, 1], num_bins=2)
    assert error == pytest.approx(2 / 3 * 0.25 + 1 / 3 * 0.2)


def test_zero_and_one():
    assert metrics.binary_negative_log_likelihood([0.0, 1.0], [0, 1]) == 0
    impossible = metrics.binary_negative_log_likelihood([0.0, 1.0], [1, 0])
    assert impossible == pytest.approx(-np.log(metrics.PROBABILITY_FLOOR))
    assert metrics.binary_calibration_error([0.0, 1.0], [0, 1]) == 0
    # 0.5 predicts 0.
    assert metrics.binary_error_percent([0.5, 0.5], [0, 1]) == 50


@pytest.mark.parametrize("measure", ALL)
class TestAll:
    def test_labels_of_any_type_and_shape(self, measure):
        probs, labels = random_case((20, 3, 5))
        expected = measure(probs, labels)
        assert type(expected) is float
        for dtype in (bool, np.float32, np.uint8, np.int64):
            assert measure(probs, labels.astype(dtype)) == expected
        assert measure(probs.ravel(), labels.ravel()) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(
        "probs, labels, message",
        [
            ([1.1], [1], r"`probs` must be in \[0, 1\]. Received: values from 1.1 to 1.1"),
            ([-0.1], [1], r"`probs` must be in \[0, 1\]"),
            ([np.nan], [1], "`probs` must be finite"),
            ([0.5], [2], "`labels` must be 0 or 1. Received: values from 2 to 2"),
            ([0.5], [0.5], "`labels` must be 0 or 1"),
            ([0.5], [[1]], r"`labels` must have the shape of `probs`, \(1,\)"),
            ([], [], r"`probs` must have shape \(examples, ...\). Received: shape=\(0,\)"),
            (0.5, 1, r"`probs` must have shape \(examples, ...\)"),
        ],
    )
    def test_failures(self, measure, probs, labels, message):
        with pytest.raises(ValueError, match=message):
            measure(probs, labels)
