"""Priors over weights: what can be sampled, or has a density (paper, Section 4)."""

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class NormalPrior:
    """N(0, stddev^2) on every weight, the paper's prior at `stddev=1`.

    A prior of your own is any callable with this signature. `kl_estimator="entropy"` draws no
    samples of the prior and needs its density: an object with a method `log_prob`, like this one's
    or that of a TFP distribution. For the `.keras` round trip register the prior with
    `keras.saving.register_keras_serializable`: a function, or a class that has `get_config` and
    `from_config`.

    Args:
        stddev: Positive float.

    Call arguments:
        shape: Shape of the samples, `(m, *weight_shape)`.
        seed: Stateless seed, int32 `(2,)`.

    Returns:
        Samples of that shape, float32.

    Raises:
        ValueError: If `stddev` is not positive.
    """

    def __init__(self, stddev=1.0):
        if not stddev > 0:
            raise ValueError(
                "Argument `stddev` of the normal prior (`prior_stddev` of a method) must be "
                f"positive. Received: stddev={stddev}"
            )
        self.stddev = float(stddev)

    def __call__(self, shape, seed):
        samples = tf.random.stateless_normal(shape, seed)
        return samples if self.stddev == 1.0 else samples * self.stddev

    def log_prob(self, weights):
        """Returns the log density of each weight, in nats; a tensor of the shape of `weights`."""
        constant = math.log(self.stddev) + 0.5 * math.log(2 * math.pi)
        return -0.5 * tf.square(weights / self.stddev) - constant

    def get_config(self):
        return {"stddev": self.stddev}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def get(prior, density=False):
    """Returns a prior: the standard normal for None, else `prior` itself; ValueError if no prior.

    Args:
        prior: Callable `(shape, seed) -> samples`, or None.
        density: Whether what is needed is not samples but `prior.log_prob(weights)`.
    """
    if prior is None:
        return NormalPrior()
    if density and not callable(getattr(prior, "log_prob", None)):
        raise ValueError(
            "Argument `prior` must have a density for the entropy estimate of the KL: a method "
            "log_prob(weights) -> log density of each weight, such as bbh.NormalPrior(1.0) has. "
            "The other estimates compare with samples of the prior and need none. Received: "
            f"prior={prior!r}"
        )
    if not density and not callable(prior):
        raise ValueError(
            "Argument `prior` must be a callable (shape, seed) -> samples, such as "
            f"bbh.NormalPrior(1.0), or None. Received: prior={prior!r}"
        )
    return prior
