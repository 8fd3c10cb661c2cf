"""What `results.json` says of a run's predictions: the protocol's measures, and further ones."""

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import calibration, decisions, metrics
from bayes_by_hypernet.likelihoods import Categorical
from bayes_by_hypernet.paper import protocols

# Of the halves of the test set that conformal sets are calibrated and measured on. The same for all
# runs, so that they compare, and drawn: the stored order of MNIST's test set is by difficulty.
SPLIT_SEED = 0


def further(test, outliers, labels, num_samples):
    """Returns the measures beyond the protocol's, by name.

    Outliers are told apart by the entropy, and, where there are several posterior samples, by the
    mutual information; of one sample that is 0, and these measures are None.

    Args:
        test, outliers: `Prediction`s.
        labels: Of the test set, `(N,)`.
        num_samples: Integer, posterior samples behind the predictions.
    """
    wrong = test.mean.argmax(axis=-1) != labels
    by_entropy = _separation(test.entropy, outliers.entropy)
    by_information = _separation(test.mutual_information, outliers.mutual_information)
    by_information["auroc"] = metrics.outlier_auroc(
        test.mutual_information, outliers.mutual_information
    )
    several = num_samples > 1
    return {
        "classwise_ece": metrics.classwise_calibration_error(test.mean, labels),
        "adaptive_ece": metrics.adaptive_calibration_error(test.mean, labels),
        **by_entropy,
        **{
            f"{name}_mutual_information": value if several else None
            for name, value in by_information.items()
        },
        "aurc": metrics.aurc(test.entropy, wrong),
        "e_aurc": metrics.excess_aurc(test.entropy, wrong),
        **_conformal(test.mean, labels),
    }


class VotingCategorical(Categorical):
    """Averages over posterior samples which class each predicts, too: the third moment.

    So the samples' disagreement is known without keeping each of them.
    """

    num_moments = 3

    def moments(self, outputs):
        """Returns probabilities, entropies, and votes `(batch, ..., classes)` of 0 and 1."""
        votes = tf.one_hot(tf.argmax(outputs, axis=-1), outputs.shape[-1])
        return *super().moments(outputs), votes

    def prediction(self, moments, samples=None):
        return super().prediction(moments[:2], samples)


def disagreements(mean, votes, where):
    """Returns the means over a set of `metrics.disagreement` and `metrics.variation_ratio`.

    Args:
        mean: Mean probabilities `(N, classes)`.
        votes: Shares of the posterior samples that predict each class `(N, classes)`.
        where: Ends the measures' names: `"in"`, `"out"`.
    """
    predicted = mean.argmax(axis=-1)[:, None]
    return {
        f"disagreement_{where}": float(1 - np.take_along_axis(votes, predicted, axis=-1).mean()),
        f"variation_ratio_{where}": float(1 - votes.max(axis=-1).mean()),
    }


def tempered(validation, validation_labels, test, labels):
    """Returns the temperature of the mean prediction, and the test set's measures with it.

    Args:
        validation, test: `Prediction`s; no validation set: None, and so is every measure.
        validation_labels, labels: Of these sets, `(N,)`.
    """
    names = ("fitted_temperature", "tempered_nll", "tempered_ece")
    if validation is None:
        return dict.fromkeys(names)
    scaling = calibration.fit_temperature(validation.mean, validation_labels)
    probs = scaling(test.mean)
    values = (
        scaling.temperature,
        metrics.negative_log_likelihood(probs, labels),
        metrics.expected_calibration_error(probs, labels),
    )
    return dict(zip(names, values, strict=True))


def _separation(inside, outside):
    return {
        "aupr_out": metrics.outlier_aupr(inside, outside, positive="out"),
        "aupr_in": metrics.outlier_aupr(inside, outside, positive="in"),
        "fpr95": metrics.outlier_fpr(inside, outside),
    }


def _conformal(probs, labels):
    """Calibrates on one half of the test set and measures the other."""
    names = ("conformal_coverage", "conformal_set_size")
    if len(labels) < 2:
        return dict.fromkeys(names)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    fit, rest = order[: len(order) // 2], order[len(order) // 2 :]
    sets = decisions.fit_conformal_sets(probs[fit], labels[fit], protocols.CONFORMAL_ALPHA)(
        probs[rest]
    )
    values = (metrics.set_coverage(sets, labels[rest]), metrics.mean_set_size(sets))
    return dict(zip(names, values, strict=True))
