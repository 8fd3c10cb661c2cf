"""The KL estimators that launchers name, and the settings of those from samples."""

from bayes_by_hypernet.checks import check_choice, check_integer, check_neighbours

# The launchers' names to the library's.
SAMPLED_ESTIMATORS = {
    "kernel_independent": "independent",
    "kernel_full": "full",
    "adversarial": "adversarial",
    "entropy": "entropy",
}
KL_ESTIMATORS = ("analytic", *SAMPLED_ESTIMATORS)


def discriminator(options, hidden_units):
    """Returns the settings of the adversarial estimate, None where another one is asked for."""
    if options.kl_estimator != "adversarial":
        return None
    return {
        "discriminator_units": hidden_units,
        "num_random_weights": options.adversarial_weights,
    }


def check_estimator(options, allowed):
    """Checks the settings of a KL estimated from samples: those of `bbb` and `bbh`."""
    check_choice("kl_estimator", options.kl_estimator, allowed)
    check_neighbours("num_kl_samples", options.num_kl_samples)
    if options.adversarial_weights is not None:
        check_integer("adversarial_weights", options.adversarial_weights, 1)
        if options.kl_estimator != "adversarial":
            raise ValueError(
                "Argument `adversarial_weights` has a meaning for kl_estimator='adversarial' only. "
                f"Received: adversarial_weights={options.adversarial_weights} with "
                f"kl_estimator={options.kl_estimator!r}"
            )
