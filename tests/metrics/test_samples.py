"""What posterior samples disagree about; mutual information is in test_classification.py."""

import numpy as np
import pytest

from bayes_by_hypernet import metrics

# Three samples of three examples: all agree; one dissents; the mean sides with the minority.
SAMPLES = np.array(
    [
        [[0.9, 0.1], [0.9, 0.1], [1.0, 0.0]],
        [[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]],
        [[0.7, 0.3], [0.4, 0.6], [0.4, 0.6]],
    ]
)


def test_by_hand():
    np.testing.assert_allclose(metrics.disagreement(SAMPLES), [0, 1 / 3, 2 / 3])
    np.testing.assert_allclose(metrics.variation_ratio(SAMPLES), [0, 1 / 3, 1 / 3])


def test_one_sample_agrees_with_itself():
    for measure in (metrics.disagreement, metrics.variation_ratio, metrics.mutual_information):
        np.testing.assert_array_equal(measure(SAMPLES[:1]), np.zeros(3))


def test_positions():
    for measure in (metrics.disagreement, metrics.variation_ratio, metrics.mutual_information):
        values = measure(np.tile(SAMPLES[:, :, None], (1, 1, 4, 1)))
        np.testing.assert_array_equal(values, np.tile(measure(SAMPLES)[:, None], (1, 4)))


def test_variation_ratio_is_never_larger():
    probs = np.random.default_rng(0).dirichlet(np.ones(4), (9, 200))
    ratio, apart = metrics.variation_ratio(probs), metrics.disagreement(probs)
    assert (ratio <= apart + 1e-12).all()  # float64
    assert (ratio <= 0.75).all()


def test_mean_predictions_are_refused():
    for measure in (metrics.disagreement, metrics.variation_ratio):
        with pytest.raises(ValueError, match=r"`sample_probs` must have shape \(samples, examples"):
            measure(SAMPLES[0])
