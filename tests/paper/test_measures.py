"""What is measured on every run beside the protocol's measures."""

import json

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import metrics
from bayes_by_hypernet.likelihoods import Categorical
from bayes_by_hypernet.paper import measures


def predict(num, concentration, seed, classes=10):
    """The mean and the mutual information of five samples, with labels that follow the mean."""
    rng = np.random.default_rng(seed)
    centre = rng.dirichlet(np.full(classes, concentration), num)
    samples = rng.dirichlet(np.ones(classes), (5, num)) * 0.3 + centre * 0.7
    mean = samples.mean(axis=0)
    labels = (rng.random((num, 1)) > mean.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    entropy = metrics.predictive_entropy(samples).mean(axis=0)
    return Categorical().prediction([mean, entropy]), labels


@pytest.fixture(scope="module")
def predictions():
    return *predict(4000, 0.05, 0), predict(3000, 1.0, 1)[0]


def test_the_measures_are_those_of_the_package(predictions):
    test, labels, outliers = predictions
    found = measures.further(test, outliers, labels, 5)
    wrong = test.mean.argmax(axis=1) != labels
    assert found["aurc"] == metrics.aurc(test.entropy, wrong)
    assert found["fpr95"] == metrics.outlier_fpr(test.entropy, outliers.entropy)
    information = test.mutual_information, outliers.mutual_information
    assert found["auroc_mutual_information"] == metrics.outlier_auroc(*information)
    assert found["aupr_in_mutual_information"] == metrics.outlier_aupr(*information, positive="in")
    assert 0 < found["e_aurc"] < found["aurc"]
    assert all(type(value) is float for value in found.values())


def test_half_of_the_test_set_covers_the_other(predictions):
    test, labels, outliers = predictions
    found = measures.further(test, outliers, labels, 5)
    # 2,000 calibrate and 2,000 are measured: twice the binomial variance; 4 deviations.
    assert found["conformal_coverage"] == pytest.approx(0.9, abs=4 * np.sqrt(2 * 0.09 / 2000))
    assert 0.8 < found["conformal_set_size"] < 10
    assert found == measures.further(test, outliers, labels, 5)  # the same halves again


def test_a_test_set_in_order_of_difficulty_is_split_at_random(predictions):
    test, labels, outliers = predictions
    order = np.argsort(test.entropy)
    ordered = type(test)(*(values[order] for values in test[:3]), None)
    found = measures.further(ordered, outliers, labels[order], 5)
    assert found["conformal_coverage"] == pytest.approx(0.9, abs=4 * np.sqrt(2 * 0.09 / 2000))


def test_one_sample_has_no_mutual_information(predictions):
    test, labels, outliers = predictions
    found = measures.further(test, outliers, labels, 1)
    missing = {name for name, value in found.items() if value is None}
    assert missing == {name for name in found if name.endswith("_mutual_information")}
    assert len(missing) == 4


def test_votes_give_the_disagreement_of_the_samples():
    logits = np.random.default_rng(0).normal(size=(7, 50, 4)).astype("float32")
    likelihood = measures.VotingCategorical()
    moments = [likelihood.moments(tf.constant(of_sample)) for of_sample in logits]
    mean, entropy, votes = (np.mean(values, axis=0) for values in zip(*moments, strict=True))
    found = measures.disagreements(mean, votes, "in")
    probs = tf.nn.softmax(logits).numpy()
    assert found["disagreement_in"] == pytest.approx(metrics.disagreement(probs).mean(), abs=1e-6)
    ratio = metrics.variation_ratio(probs).mean()
    assert found["variation_ratio_in"] == pytest.approx(ratio, abs=1e-6)
    assert 0.1 < ratio < found["disagreement_in"]
    prediction = likelihood.prediction([mean, entropy, votes])
    np.testing.assert_array_equal(prediction.mean, Categorical().prediction([mean, entropy]).mean)


def test_one_test_image_has_no_halves(predictions):
    test, labels, outliers = predictions
    one = type(test)(*(values[:1] for values in test[:3]), None)
    found = measures.further(one, outliers, labels[:1], 5)
    assert found["conformal_coverage"] is None and found["conformal_set_size"] is None


def test_overconfidence_is_tempered():
    sharp = [predict(3000, 0.2, seed) for seed in (2, 3)]
    for i, (prediction, labels) in enumerate(sharp):
        powered = prediction.mean**2.0
        powered /= powered.sum(axis=1, keepdims=True)
        sharp[i] = prediction._replace(mean=powered), labels
    (validation, validation_labels), (test, labels) = sharp
    found = measures.tempered(validation, validation_labels, test, labels)
    # Labels follow the root of what is predicted: T = 2, its standard error about 3 %.
    assert found["fitted_temperature"] == pytest.approx(2.0, rel=0.12)
    assert found["tempered_nll"] < metrics.negative_log_likelihood(test.mean, labels)
    assert found["tempered_ece"] < metrics.expected_calibration_error(test.mean, labels)
    json.dumps(found)


def test_without_a_validation_set_there_is_no_temperature(predictions):
    test, labels, _ = predictions
    found = measures.tempered(None, None, test, labels)
    assert set(found.values()) == {None}
