"""The numbers of the experiments that belong to no single method, each in this one place."""

import dataclasses

from bayes_by_hypernet.checks import check_choice

BATCH_SIZE = 100  # authors' code
ADAM_EPSILON = 1e-5  # authors' code
SEED = 42  # authors' code
NUM_PREDICTIVE_SAMPLES = 100  # paper, Section 3
NUM_VALIDATION_SAMPLES = 10  # ours: reported every epoch, selects nothing
CONFORMAL_ALPHA = 0.1  # ours: share of labels that the conformal sets of a run may miss


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Length of training and the annealing of the KL, in epochs.

    Attributes:
        name: As `--protocol` says it.
        epochs: Length of training.
        annealing_start_epoch: The KL's factor is 0 up to here ...
        annealing_epochs: ... and grows linearly to 1 over this many epochs.
        adversarial_weights: Random weights that an adversarial estimate looks at; None: all.
    """

    name: str
    epochs: int
    annealing_start_epoch: float
    annealing_epochs: float
    adversarial_weights: int | None = None


NAMES = ("paper", "half", "quick", "demo")  # the longest first

# By network: `paper` is the paper's (annealing: authors' code), the others are ours, for machines
# without a GPU; ResNet-32 alone has `half`. A network that the paper does not have gets the
# default: LeNet's.
DEFAULT = {
    "paper": Protocol("paper", 100, 5, 15),
    "quick": Protocol("quick", 8, 1, 3, adversarial_weights=65_536),
    "demo": Protocol("demo", 2, 0.5, 1, adversarial_weights=65_536),
}
PROTOCOLS = {
    "lenet": DEFAULT,
    "resnet32": {
        "paper": Protocol("paper", 200, 20, 15),
        "half": Protocol("half", 40, 4, 3, adversarial_weights=65_536),
        "quick": Protocol("quick", 5, 1, 2, adversarial_weights=65_536),
        "demo": Protocol("demo", 1, 0.25, 0.5, adversarial_weights=65_536),
    },
}

# Settings of the methods that a network changes, by network and method (authors' code).
METHOD_SETTINGS = {
    "resnet32": {
        "ensemble": {"num_members": 5},
        "bbb": {"initial_log_variance": -30.0},
        "mnf": {"max_stddev": 0.3},
    }
}


def method_settings(network: str, method: str) -> dict:
    """Returns the settings of a method in which a network differs from its defaults."""
    return METHOD_SETTINGS.get(network, {}).get(method, {})


def get(network: str, name: str) -> Protocol:
    """Returns the protocol `name` of a network; ValueError where there is none."""
    protocols = PROTOCOLS.get(network, DEFAULT)
    return protocols[check_choice("protocol", name, tuple(sorted(protocols)))]
