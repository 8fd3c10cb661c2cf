"""A small network on scikit-learn's digits: calibrated, with sets, abstaining."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from bayes_by_hypernet import calibration, decisions, metrics


def fit_digits(seed, batch_size):
    """Returns probabilities and labels of three parts, of a network trained on few examples."""
    keras.utils.set_random_seed(seed)
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, labels = (images[order] / 16).astype(np.float32), labels[order]
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(x[:150], labels[:150], epochs=100, batch_size=batch_size, verbose=0)
    probs = keras.ops.convert_to_numpy(keras.ops.softmax(model(x)))
    return [(probs[part], labels[part]) for part in np.split(np.arange(150, 1797), [400, 1000])]


@pytest.fixture(scope="module")
def digits():
    return fit_digits(seed=0, batch_size=150)


def test_temperature_lowers_the_likelihood_of_new_examples():
    # Three times as many steps, so that it is surely overconfident: the temperature is about 1.35
    # with each of the seeds 0 to 3, and lowers the NLL; with 0 by 0.2 %, else by 5 %.
    validation, _, (probs, labels) = fit_digits(seed=1, batch_size=50)
    scaling = calibration.fit_temperature(*validation)
    assert scaling.temperature > 1.1  # overconfident
    before, after = (
        metrics.negative_log_likelihood(values, labels) for values in (probs, scaling(probs))
    )
    assert after < before


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_sets_cover_new_examples(digits, method):
    (probs, labels), (new, new_labels) = digits[1:]
    sets = decisions.fit_conformal_sets(probs, labels, 0.1, method, seed=0)(new, seed=0)
    # 600 calibrate, about 650 are measured: the two binomial variances; 4 deviations.
    margin = 4 * np.sqrt(0.09 / len(labels) + 0.09 / len(new_labels))
    assert metrics.set_coverage(sets, new_labels) == pytest.approx(0.9, abs=margin)
    assert metrics.mean_set_size(sets) < 2


def test_abstention_keeps_the_risk(digits):
    (probs, labels), (new, new_labels) = digits[1:]
    error = np.mean(probs.argmax(axis=1) != labels)
    found = decisions.fit_abstention(
        metrics.predictive_entropy(probs), probs.argmax(axis=1) != labels, error / 2, delta=0.05
    )
    accepted = ~found.abstain(metrics.predictive_entropy(new))
    assert found.coverage > 0.3
    assert np.mean(new[accepted].argmax(axis=1) != new_labels[accepted]) < error / 2
