"""Priors over weights: what can be sampled, or has a density (paper, Section 4)."""

import math

import keras
import tensorflow as tf

from bayes_by_hypernet.checks import check_positive, described, refusal


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

    Example:
        >>> prior = bbh.NormalPrior(0.5)
        >>> tuple(prior((5, 3), seed=(0, 1)).shape)
        (5, 3)
    """

    def __init__(self, stddev=1.0):
        try:
            self.stddev = check_positive("stddev", stddev)
        except ValueError as error:
            of_whom = "`stddev` of the normal prior (`prior_stddev` of a method)"
            raise ValueError(str(error).replace("`stddev`", of_whom)) from None

    def __call__(self, shape, seed):
        try:
            samples = tf.random.stateless_normal(shape, seed)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(
                "Arguments `shape` and `seed` must be a shape and a stateless seed, two integers. "
                f"Received: shape={described(shape)}, seed={described(seed)}"
            ) from error
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
        allowed = "a callable (shape, seed) -> samples, such as bbh.NormalPrior(1.0), or None"
        raise refusal("prior", allowed, prior)
    return prior
