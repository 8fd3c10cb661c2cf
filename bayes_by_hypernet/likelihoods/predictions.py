"""What predictions hold."""

from typing import NamedTuple

import numpy as np


class Prediction(NamedTuple):
    """A posterior predictive over classes, or over the labels 0 and 1.

    N examples, and for each of them one prediction, or one for every position `...` (the steps of
    a sequence, the pixels of an image, the labels of a multi-label model).

    Attributes:
        mean: Mean predictive probabilities. Of C classes `(N, ..., C)`; of a Bernoulli likelihood
            the probabilities of label 1, in the shape of the model's outputs.
        entropy: Entropy of `mean`, nats, `(N, ...)`.
        mutual_information: Entropy of the mean minus mean of the entropies, nats, `(N, ...)`: what
            the posterior samples disagree about.
        samples: Probabilities of every sample `(S, *mean.shape)`, or None.

    Example:
        >>> layers = [keras.Input((4,)), bbh.layers.MCDropout(0.5), keras.layers.Dense(3)]
        >>> prediction = bbh.predict(keras.Sequential(layers), np.ones((2, 4)), num_samples=10)
        >>> prediction.mean.shape, prediction.total.shape
        ((2, 3), (2,))
    """

    mean: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray
    samples: np.ndarray | None = None

    @property
    def total(self):
        """Total uncertainty: the entropy of the mean, nats, `(N, ...)`."""
        return self.entropy

    @property
    def epistemic(self):
        """Uncertainty about the weights, which more data reduce: the mutual information, nats."""
        return self.mutual_information

    @property
    def aleatoric(self):
        """Uncertainty that stays when the weights are known: the mean entropy, nats."""
        return self.entropy - self.mutual_information

    @property
    def averaged(self):
        """Dict of `total`, `epistemic` and `aleatoric` averaged over positions, `(N,)` each."""
        return _averaged(self)


class GaussianPrediction(NamedTuple):
    """A regression's posterior predictive: moments over posterior samples, in units of the labels.

    Attributes:
        mean: `(N, ...)`.
        std: Standard deviation of the predicted mean over posterior samples, without the noise of
            observations, `(N, ...)`.
        samples: The predicted means of every sample `(S, N, ...)`, or None.
        aleatoric: Mean variance of the noise `(N, ...)`; None where it is not known.
        sample_stddev: Standard deviation of the noise under every sample `(S, N, ...)`, or None.

    Example:
        >>> std, noise_variance = np.ones(2), np.full(2, 3.0)
        >>> bbh.GaussianPrediction(mean=np.zeros(2), std=std, aleatoric=noise_variance).total
        array([4., 4.])
    """

    mean: np.ndarray
    std: np.ndarray
    samples: np.ndarray | None = None
    aleatoric: np.ndarray | None = None
    sample_stddev: np.ndarray | None = None

    @property
    def epistemic(self):
        """Variance of the predicted mean over posterior samples, `std` squared."""
        return np.square(self.std)

    @property
    def total(self):
        """Variance of an observation, epistemic plus aleatoric; None without known noise."""
        return None if self.aleatoric is None else self.epistemic + self.aleatoric

    @property
    def averaged(self):
        """Dict of the variances averaged over positions and outputs, `(N,)` each, or None."""
        return _averaged(self)

    def quantile(self, q, observation_noise=True):
        """Returns quantiles of the predictive, a mixture over posterior samples.

        Args:
            q: Number in (0, 1), or a list of them.
            observation_noise: Whether of an observation; else of the predicted mean.

        Returns:
            Array `(N, ...)`; for a list of k numbers `(k, N, ...)`.

        Raises:
            ValueError: If `q` is out of range, or the prediction lacks what it takes.
        """
        levels = np.asarray(q, float)
        if not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"Argument `q` must lie between 0 and 1. Received: q={q!r}")
        if self.samples is None:
            raise ValueError(
                "Quantiles need the samples: pass return_samples=True to bbh.predict. Received: a "
                "prediction without samples"
            )
        if not observation_noise:
            return np.quantile(self.samples, levels, axis=0)
        if self.sample_stddev is None:
            raise ValueError(
                "Argument `observation_noise` must be False where the noise is not known: pass "
                "likelihood=bbh.likelihoods.Gaussian(stddev) to bbh.predict. Received: "
                f"observation_noise={observation_noise}"
            )
        found = [
            _mixture_quantile(level, self.samples, self.sample_stddev) for level in levels.flat
        ]
        return np.stack(found).reshape(*levels.shape, *self.mean.shape)


def _mixture_quantile(level, means, stddevs):
    """Returns the quantile of Gaussian mixtures over the first axis, by bisection."""
    from scipy import special  # slow to import, and only needed here

    ends = means + stddevs * special.ndtri(level)
    low, high = ends.min(axis=0), ends.max(axis=0)  # the mixture's lies between its parts'
    for _ in range(80):  # each halves the interval, until float64 ends it
        middle = (low + high) / 2
        below = special.ndtr((middle - means) / stddevs).mean(axis=0) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _averaged(prediction):
    return {
        name: None if values is None else values.reshape(len(values), -1).mean(axis=1)
        for name in ("total", "epistemic", "aleatoric")
        for values in [getattr(prediction, name)]
    }
