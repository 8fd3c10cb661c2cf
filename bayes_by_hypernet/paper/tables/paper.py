"""The rows of the paper's tables: their numbers, and the configurations that reproduce them."""

import dataclasses
from typing import NamedTuple

from bayes_by_hypernet.paper import methods, protocols

TITLES = {
    1: "Architectures of the hypernetwork",
    2: "Auxiliary noise",
    3: "Methods on MNIST",
    4: "Methods on CIFAR-5",
    5: "Estimators of the KL, in Bayes by Backprop",
}


class Data(NamedTuple):
    """The data that the paper trains a network on."""

    title: str
    name: str
    outlier_name: str


DATA = {
    "lenet": Data("MNIST", "mnist", "notmnist"),
    "resnet32": Data("CIFAR-5", "cifar5", "cifar5_others"),
}


class Place(NamedTuple):
    """A row's place in one table: its label and its flagfile."""

    label: str  # as the paper says it
    slug: str  # flags/<data>/table<number>_<slug>_<protocol>.flags


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """A row of the paper, in one table or more, and the configuration that reproduces it.

    Attributes:
        label: Names the row outside its table.
        tables: Dict, number of a table that holds the row to its `Place` there.
        network, method: Names.
        options: The method's settings; those not named are its defaults.
        error_percent, in_auc, outlier_auc: The paper's numbers.
        train_seconds: On the authors' GPU.
    """

    label: str
    tables: dict
    network: str
    method: str
    options: dict
    error_percent: float
    in_auc: float
    outlier_auc: float
    train_seconds: int

    @property
    def data(self):
        """`Data` that the row's numbers are of."""
        return DATA[self.network]

    def settings(self, protocol: str) -> dict:
        """Returns every setting of the method under a protocol, by name."""
        options = {**protocols.method_settings(self.network, self.method), **self.options}
        settings = dataclasses.asdict(methods.get(self.method).Options(**options))
        if settings.get("kl_estimator") == "adversarial":
            plan = protocols.get(self.network, protocol)
            settings["adversarial_weights"] = plan.adversarial_weights
        return settings


def _lenet(label, method, tables, numbers, **options):
    return PaperRow(label, tables, "lenet", method, options, *numbers)


def _resnet(label, method, slug, numbers, **options):
    place = {4: Place(label, slug)}
    return PaperRow(f"{label}, CIFAR-5", place, "resnet32", method, options, *numbers)


def _bbh(label, tables, numbers, architecture="layerwise", noise="shared", noise_dim=1):
    options = {"architecture": architecture, "noise": noise, "noise_dim": noise_dim}
    return _lenet(label, "bbh", tables, numbers, **options)


# In this order each table's rows stand in the paper's order. Numbers: error in percent, AUC on
# the test set, AUC on the outliers, seconds on the authors' GPU.
PAPER_ROWS = (
    _lenet("MAP", "map", {3: Place("MAP", "map")}, (0.80, 0.99, 0.71, 710)),
    _lenet("Ensemble", "ensemble", {3: Place("Ensemble", "ensemble")}, (0.49, 0.99, 0.65, 2721)),
    _lenet(
        "BbB, analytic KL",
        "bbb",
        {3: Place("BbB", "bbb"), 5: Place("Analytical", "analytic")},
        (0.72, 0.97, 0.41, 2892),
        kl_estimator="analytic",
    ),
    _lenet("Dropout", "dropout", {3: Place("Dropout", "dropout")}, (0.47, 0.99, 0.58, 1224)),
    _lenet("MNF", "mnf", {3: Place("MNF", "mnf")}, (0.63, 0.99, 0.58, 21811)),
    _bbh(
        "BbH, single G",
        {1: Place("Single G", "single")},
        (1.1, 0.89, 0.48, 2961),
        architecture="single",
    ),
    _bbh(
        "BbH, sliced layer-wise G_l",
        {1: Place("Sliced layer-wise G_l", "sliced")},
        (1.7, 0.93, 0.55, 7119),
        architecture="sliced",
    ),
    _bbh(
        "BbH, layer-wise, shared noise, d = 1",
        {1: Place("Layer-wise G_l", "layerwise"), 2: Place("Shared noise, d = 1", "shared_d1")},
        (0.73, 0.98, 0.54, 11361),
    ),
    _bbh(
        "BbH, independent noise, d = 1",
        {2: Place("Independent noise, d = 1", "independent_d1"), 3: Place("BbH (ours)", "bbh")},
        (0.56, 0.97, 0.48, 11504),
        noise="independent",
    ),
    _bbh(
        "BbH, shared noise, d = 8",
        {2: Place("Shared noise, d = 8", "shared_d8")},
        (0.56, 0.98, 0.49, 11314),
        noise_dim=8,
    ),
    _bbh(
        "BbH, independent noise, d = 8",
        {2: Place("Independent noise, d = 8", "independent_d8")},
        (0.64, 0.97, 0.44, 11268),
        noise="independent",
        noise_dim=8,
    ),
    _lenet(
        "BbB, adversarial KL",
        "bbb",
        {5: Place("Adversarial Variational Bayes", "adversarial")},
        (0.97, 1.00, 0.95, 22187),
        kl_estimator="adversarial",
    ),
    _lenet(
        "BbB, kernel KL, independent",
        "bbb",
        {5: Place("Kernel with independent prior", "kernel_independent")},
        (0.76, 0.98, 0.46, 5707),
        kl_estimator="kernel_independent",
    ),
    _lenet(
        "BbB, kernel KL, full",
        "bbb",
        {5: Place("Kernel with full prior", "kernel_full")},
        (0.88, 0.99, 0.58, 4644),
        kl_estimator="kernel_full",
    ),
    _resnet("MAP", "map", "map", (13.58, 0.83, 0.68, 5269)),
    _resnet("Ensemble", "ensemble", "ensemble", (10.18, 0.77, 0.55, 51755)),
    _resnet("BbB", "bbb", "bbb", (13.78, 0.65, 0.44, 10562)),
    _resnet("Dropout", "dropout", "dropout", (24.74, 0.46, 0.35, 6189)),
    _resnet("MNF", "mnf", "mnf", (12.82, 0.82, 0.62, 15743)),
    _resnet("BbH (ours)", "bbh", "bbh", (13.62, 0.68, 0.51, 7896)),
)
