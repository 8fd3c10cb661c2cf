"""Outliers: scores that are larger for them, and how well a score tells them from test examples."""

import numpy as np

from bayes_by_hypernet.checks import check_between, check_choice
from bayes_by_hypernet.metrics.arrays import as_floats, as_probs


def max_probability_score(probs) -> np.ndarray:
    """One minus the largest probability (Hendrycks & Gimpel 2017).

    Args:
        probs: Array `(..., classes)`.

    Returns:
        Array `(...)`, each in [0, 1 - 1 / classes], larger where the prediction is less certain.

    Example:
        >>> max_probability_score([[0.9, 0.1], [0.6, 0.4]]).round(2)
        array([0.1, 0.4])
    """
    return 1.0 - as_probs(probs).max(axis=-1)


def max_logit_score(logits) -> np.ndarray:
    """Minus the largest logit (Hendrycks et al. 2022, 'Scaling Out-of-Distribution Detection').

    Unlike a probability it depends on what a softmax takes away, the common level of the logits.

    Args:
        logits: Array `(..., classes)`, finite.

    Returns:
        Array `(...)`, larger where the prediction is less certain.

    Example:
        >>> max_logit_score([[2.0, -1.0]])
        array([-2.])
    """
    return -as_floats("logits", logits, ("...", "classes")).max(axis=-1)


def energy_score(logits, temperature=1.0) -> np.ndarray:
    """Free energy of logits, `-T log(sum over c of exp(logit_c / T))` (Liu et al. 2020, Eq. 4).

    Not the energy score of Gneiting & Raftery (2007), a generalisation of the CRPS. Of posterior
    samples, take the mean of the samples' scores.

    Args:
        logits: Array `(..., classes)`, finite.
        temperature: Float T, positive. Near 0 this is `max_logit_score`.

    Returns:
        Array `(...)`, larger where the prediction is less certain.

    Example:
        >>> energy_score([[0.0, 0.0], [5.0, 0.0]])
        array([-0.69314718, -5.00671535])
    """
    logits = as_floats("logits", logits, ("...", "classes"))
    temperature = check_between("temperature", temperature, 0.0, np.inf)
    largest = logits.max(axis=-1)
    # Beside the largest: T may be near 0, where logits / T would overflow.
    with np.errstate(over="ignore"):
        relative = np.exp((logits - largest[..., np.newaxis]) / temperature)
    return -largest - temperature * np.log(relative.sum(axis=-1))


def outlier_auroc(in_entropy, out_entropy) -> float:
    """Area under the ROC curve of telling outliers from test examples by their entropy.

    The chance that an outlier has the larger entropy, ties counted half. Any other score that is
    larger for outliers will do.

    Args:
        in_entropy: Array `(examples,)`, of test examples.
        out_entropy: Array `(outliers,)`, of outliers, the positive class.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: If either array is empty or not finite: with one class there is no such area.

    Example:
        >>> outlier_auroc([0.1, 0.3], [0.2, 0.9])
        0.75
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and only needed here

    is_outlier, scores = _labelled(in_entropy=in_entropy, out_entropy=out_entropy)
    return float(roc_auc_score(is_outlier, scores))


def outlier_aupr(in_scores, out_scores, positive="out") -> float:
    """Area under the precision-recall curve of telling outliers from test examples.

    Average precision: the sum over thresholds of precision times the step of recall, without
    interpolation. Unlike `outlier_auroc` it depends on how many there are of each; chance gives
    the share of the positive class.

    Args:
        in_scores: Array `(examples,)`, scores of test examples, smaller than those of outliers.
        out_scores: Array `(outliers,)`.
        positive: `"out"`: outliers are what is to be found ('AUPR out'); `"in"`: test examples.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: If either array is empty or not finite: with one class there is no such area.

    Example:
        >>> outlier_aupr([0.1, 0.2], [0.15, 0.9])
        0.8333333333333333
    """
    from sklearn.metrics import average_precision_score  # slow to import, and only needed here

    is_positive, scores = _with_positive(in_scores, out_scores, positive)
    return float(average_precision_score(is_positive, scores))


def outlier_fpr(in_scores, out_scores, tpr=0.95, positive="out") -> float:
    """False positive rate at the threshold that finds at least `tpr` of the positives ('FPR95').

    With `positive="out"` it is the share of test examples that are taken for outliers when 95 % of
    the outliers are found. With `positive="in"`, as in Liang et al. (2018), it is
    the share of outliers that are taken for test examples when 95 % of those are accepted.

    Args:
        in_scores: Array `(examples,)`, scores of test examples, smaller than those of outliers.
        out_scores: Array `(outliers,)`.
        tpr: Float, above 0 and at most 1: the true positive rate.
        positive: `"out"` or `"in"`.

    Returns:
        Float in [0, 1], less is better.

    Raises:
        ValueError: If either array is empty or not finite, or `tpr` out of range.

    Example:
        >>> outlier_fpr([0.1, 0.3], [0.2, 0.9])
        0.5
    """
    tpr = check_between("tpr", tpr, 0.0, 1.0, closed=True)
    if tpr == 0:
        raise ValueError("Argument `tpr` must be above 0. Received: tpr=0.0")
    is_positive, scores = _with_positive(in_scores, out_scores, positive)
    found = np.sort(scores[is_positive == 1])[::-1]
    # The threshold is a score: as many as reach it are found, with all that equal it. The 1e-9 is
    # for products like 0.07 * 100 = 7.000000000000001.
    threshold = found[int(np.ceil(tpr * len(found) - 1e-9)) - 1]
    return float(np.mean(scores[is_positive == 0] >= threshold))


def _with_positive(in_scores, out_scores, positive):
    check_choice("positive", positive, ("in", "out"))
    is_outlier, scores = _labelled(in_scores=in_scores, out_scores=out_scores)
    return (is_outlier, scores) if positive == "out" else (1 - is_outlier, -scores)


def _labelled(**arguments):
    arrays = [as_floats(name, values, ("examples",)) for name, values in arguments.items()]
    return np.repeat([0, 1], [len(values) for values in arrays]), np.concatenate(arrays)
