"""What posterior samples disagree about: measures of model uncertainty, example by example."""

import numpy as np

from bayes_by_hypernet.metrics.arrays import as_sample_probs
from bayes_by_hypernet.metrics.classification import entropy_of


def mutual_information(sample_probs) -> np.ndarray:
    """Mutual information of label and weights: how much the posterior samples disagree.

    ```
    entropy(mean over s of p_s) - mean over s of entropy(p_s)
    ```

    Args:
        sample_probs: Array `(samples, examples, ..., classes)`.

    Returns:
        Array `(examples, ...)`, in nats, at least 0.

    Example:
        >>> mutual_information([[[1.0, 0.0]], [[0.0, 1.0]]]).round(4)  # certain samples disagree
        array([0.6931])
    """
    sample_probs = as_sample_probs(sample_probs)
    information = entropy_of(sample_probs.mean(axis=0)) - entropy_of(sample_probs).mean(axis=0)
    return np.maximum(information, 0.0)  # of a rounding error, not of a value


def disagreement(sample_probs) -> np.ndarray:
    """Share of posterior samples that predict another class than their mean does.

    Of equally probable classes the first one counts as predicted.

    Args:
        sample_probs: Array `(samples, examples, ..., classes)`.

    Returns:
        Array `(examples, ...)`, each in [0, 1]; 0 where there is one sample.

    Example:
        >>> disagreement([[[0.9, 0.1]], [[0.4, 0.6]]])
        array([0.5])
    """
    sample_probs = as_sample_probs(sample_probs)
    predicted = sample_probs.mean(axis=0).argmax(axis=-1)  # (examples, ...)
    return np.mean(sample_probs.argmax(axis=-1) != predicted, axis=0)


def variation_ratio(sample_probs) -> np.ndarray:
    """One minus the share of posterior samples that predict the most frequent class.

    Freeman (1965); Gal (2016), Section 3.3.1. It differs from `disagreement` where the most
    frequent class is not the one with the largest mean probability, and is never larger.

    Args:
        sample_probs: Array `(samples, examples, ..., classes)`.

    Returns:
        Array `(examples, ...)`, each in [0, 1 - 1 / classes].

    Example:
        >>> variation_ratio([[[0.9, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]])
        array([0.33333333])
    """
    sample_probs = as_sample_probs(sample_probs)
    predicted = sample_probs.argmax(axis=-1)  # (samples, examples, ...)
    most = np.zeros(predicted.shape[1:])
    for c in range(sample_probs.shape[-1]):
        most = np.maximum(most, np.mean(predicted == c, axis=0))
    return 1.0 - most
