"""Checks and settings that the options of several methods share."""

import dataclasses

from bayes_by_hypernet.divergences import sampled_estimator
from bayes_by_hypernet.paper.methods.base import Options
from bayes_by_hypernet.priors import NormalPrior


def check_choice(name, value, allowed):
    """Raises a ValueError where a setting is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"Argument `{name}` must be one of {allowed}. Received: {name}={value!r}")


def check_at_least(name, value, least):
    """Raises a ValueError where a setting is too small."""
    if value < least:
        raise ValueError(f"Argument `{name}` must be at least {least}. Received: {name}={value}")


@dataclasses.dataclass(frozen=True)
class PriorOptions(Options):
    """Settings of a method with a normal prior.

    Attributes:
        prior_stddev: Standard deviation of the normal prior.
    """

    prior_stddev: float = 1.0

    def __post_init__(self):
        NormalPrior(self.prior_stddev)


def make_estimator(options, discriminator_units):
    """Returns what estimates the KL from weight samples under the settings of `bbb` or `bbh`."""
    return sampled_estimator(
        options.kl_estimator,
        NormalPrior(options.prior_stddev),
        discriminator_units,
        options.adversarial_weights,
    )


def check_estimator(options, allowed):
    """Checks the settings of a KL estimated from samples: those of `bbb` and `bbh`."""
    check_choice("kl_estimator", options.kl_estimator, allowed)
    if options.num_kl_samples < 2:
        raise ValueError(
            "Argument `num_kl_samples` must be at least 2, since Eq. 2 compares each sample "
            f"with its nearest other. Received: num_kl_samples={options.num_kl_samples}"
        )
    if options.adversarial_weights is not None:
        check_at_least("adversarial_weights", options.adversarial_weights, 1)
        if options.kl_estimator != "adversarial":
            raise ValueError(
                "Argument `adversarial_weights` has a meaning for kl_estimator='adversarial' only. "
                f"Received: adversarial_weights={options.adversarial_weights} with "
                f"kl_estimator={options.kl_estimator!r}"
            )
