"""Priors over weights: anything that can be sampled (paper, Section 4, 'Future directions')."""

import keras
import tensorflow as tf

from bayes_by_hypernet.checks import check_positive, described, refusal


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class NormalPrior:
    """N(0, stddev^2) on every weight, the paper's prior at `stddev=1`.

    A prior of your own is any callable with this signature. For the `.keras` round trip register
    it with `keras.saving.register_keras_serializable`: a function, or a class that has `get_config`
    and `from_config`.

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

    def get_config(self):
        return {"stddev": self.stddev}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def get(prior):
    """Returns a prior: the standard normal for None, else `prior` itself; ValueError if no prior.

    Args:
        prior: Callable `(shape, seed) -> samples`, or None.
    """
    if prior is None:
        return NormalPrior()
    if not callable(prior):
        allowed = "a callable (shape, seed) -> samples, such as bbh.NormalPrior(1.0), or None"
        raise refusal("prior", allowed, prior)
    return prior
