"""The configuration of a run: every setting that decides its numbers, validated before any work."""

import dataclasses
import json
import os
import pathlib

import tensorflow as tf

from bayes_by_hypernet import data, files
from bayes_by_hypernet.checks import check_at_least, check_integer, check_positive, refusal
from bayes_by_hypernet.data.pipeline import PIPELINES
from bayes_by_hypernet.paper import methods, networks, protocols, schema

CONFIG_FILE = "config.json"  # in a run directory
# Settings of single methods, by name: the union over the methods' `Options`.
METHOD_OPTIONS = tuple(
    dict.fromkeys(
        field.name
        for method in methods.METHODS.values()
        for field in dataclasses.fields(method.Options)
    )
)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides the numbers of a run; make one with `resolve`.

    Attributes:
        network, method, dataset, outlier_dataset, protocol: Names.
        epochs, batch_size, learning_rate: Of training.
        annealing_start_epoch, annealing_epochs: Of the KL; None where the method has none.
        temperature: Factor on the KL.
        seed: Of initialisation, batches, noise and prior samples.
        num_predictive_samples: Posterior samples of every prediction.
        max_train_examples: Only the first so many training examples; None: all.
        batch_norm: Whose statistics normalise, see `networks.get`; None where nothing does.
        options: The method's own settings, by name.
    """

    network: str
    method: str
    dataset: str
    outlier_dataset: str
    protocol: str
    epochs: int
    batch_size: int
    learning_rate: float
    annealing_start_epoch: float | None
    annealing_epochs: float | None
    temperature: float
    seed: int
    num_predictive_samples: int
    max_train_examples: int | None
    batch_norm: str | None
    options: dict

    def __post_init__(self):
        self.method_options()
        self.make_network()
        for name in ("epochs", "batch_size", "num_predictive_samples"):
            check_integer(name, getattr(self, name), 1)
        check_positive("learning_rate", self.learning_rate)
        check_at_least("temperature", self.temperature, 0)
        if not 0 <= check_integer("seed", self.seed, most=2**62) < 2**31:
            raise refusal("seed", "between 0 and 2^31 - 1", self.seed)
        if self.max_train_examples is not None:
            check_integer("max_train_examples", self.max_train_examples)
            if self.max_train_examples < self.batch_size:
                allowed = f"at least `batch_size`={self.batch_size}"
                raise refusal("max_train_examples", allowed, self.max_train_examples)

    def method_options(self):
        """Returns the method's validated `Options`."""
        return methods.get(self.method).Options(**self.options)

    def make_network(self):
        """Returns the `Network`."""
        return networks.get(self.network, self.batch_norm)

    @property
    def pipeline(self):
        """The `Pipeline` from stored images to the network's inputs."""
        return PIPELINES[self.make_network().dataset]

    def make_method(self):
        """Returns the `Method` of this configuration, newly initialised."""
        return methods.get(self.method)(
            self.make_network(), self.method_options(), self.seed, self.prediction_batch_size
        )

    @property
    def prediction_batch_size(self):
        """How many inputs are predicted at once where their answers depend on each other, or None.

        As many as in training.
        """
        return self.batch_size if self.batch_norm == "batch" else None

    def flat(self):
        """Returns a flat dict: every setting by its flag's name, None where it has no meaning."""
        values = dataclasses.asdict(self)
        options = values.pop("options")
        return {**values, **{name: options.get(name) for name in METHOD_OPTIONS}}

    @classmethod
    def from_flat(cls, flat):
        """Returns the configuration that `flat` described, also after a trip through JSON."""
        names = [f.name for f in dataclasses.fields(cls) if f.name != "options"]
        options_class = methods.get(flat["method"]).Options
        taken = {f.name for f in dataclasses.fields(options_class)}
        # A run made before there was a setting has that setting's default.
        flat = {"batch_norm": None, **flat}
        options = {name: flat[name] for name in METHOD_OPTIONS if name in taken and name in flat}
        if "hidden_units" in options:
            options["hidden_units"] = tuple(options["hidden_units"])
        options = dataclasses.asdict(options_class(**options))
        return cls(**{name: flat[name] for name in names}, options=options)

    def differences(self, other):
        """Returns a dict of the settings that differ: name to (this one's, the other's)."""
        mine, others = (json.loads(json.dumps(config.flat())) for config in (self, other))
        return {name: (mine[name], others[name]) for name in mine if mine[name] != others[name]}


def resolve(
    network, *, method, dataset="auto", data_dir=None, notmnist_dir=None, protocol=None, **given
):
    """Returns the `RunConfig` of what was asked for, and the sentence about a substituted set.

    `None` means the protocol's value. Without a protocol it is `demo` on the embedded set and
    where there is no accelerator, else `paper`.

    Args:
        network: Name of the network.
        method, dataset, protocol: Names.
        data_dir, notmnist_dir: Where data may lie.
        **given: Any other setting of `RunConfig` or of a method.

    Raises:
        ValueError: If a name or value is not allowed, or the method has no such setting.
        FileNotFoundError: If `dataset` names a set that is not there.
    """
    spec = networks.get(network)
    method_class = methods.get(method)
    given = {name: value for name, value in given.items() if value is not None}
    options = {name: given.pop(name) for name in METHOD_OPTIONS if name in given}
    allowed = [field.name for field in dataclasses.fields(method_class.Options)]
    for name in options:
        if name not in allowed:
            raise ValueError(
                f"Argument `{name}` has no meaning for method={method!r}, whose settings are "
                f"{allowed}. Received: {name}={options[name]!r}"
            )
    options = {**protocols.method_settings(network, method), **options}
    checked = method_class.Options(**options)
    batch_norm = method_class.authors_batch_norm(checked) if spec.batch_norm else None
    if protocol is not None:
        protocols.get(network, protocol)
    dataset, outlier_dataset, reason = data.resolve(dataset, data_dir, notmnist_dir, spec.dataset)
    plan = protocols.get(network, protocol or default_protocol(dataset))
    if options.get("kl_estimator") == "adversarial":
        options.setdefault("adversarial_weights", plan.adversarial_weights)
    options = dataclasses.asdict(method_class.Options(**options))
    settings = {
        "epochs": plan.epochs,
        "batch_size": protocols.BATCH_SIZE,
        "learning_rate": method_class.learning_rate,
        "annealing_start_epoch": plan.annealing_start_epoch if method_class.anneals_kl else None,
        "annealing_epochs": plan.annealing_epochs if method_class.anneals_kl else None,
        "temperature": 1.0,
        "seed": protocols.SEED,
        "num_predictive_samples": protocols.NUM_PREDICTIVE_SAMPLES,
        "max_train_examples": None,
        "batch_norm": batch_norm,
    }
    unknown = sorted(set(given) - set(settings))
    if unknown:
        raise ValueError(f"There is no setting {unknown[0]!r}; settings are {sorted(settings)}")
    settings.update(given)
    config = RunConfig(
        network=network,
        method=method,
        dataset=dataset,
        outlier_dataset=outlier_dataset,
        protocol=plan.name,
        options=options,
        **settings,
    )
    return config, reason


def read_config(directory: str | os.PathLike) -> RunConfig | None:
    """Returns the `RunConfig` of a run directory, or None where it holds no run.

    Raises:
        DamagedFileError: If its file holds no configuration.
        SchemaError: If a later version of the package wrote it.
    """
    path = pathlib.Path(directory) / CONFIG_FILE
    if not path.exists():
        return None
    contents = schema.read(path)
    advice = "The command that made the run makes it again; its flags are in run.flags."
    try:
        return RunConfig.from_flat(contents)
    except KeyError as error:
        raise files.damaged(path, f"it lacks {error}", advice) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise files.damaged(path, error, advice) from error


def default_protocol(dataset: str) -> str:
    """`paper` where there is an accelerator and real data, else `demo`."""
    accelerated = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
    return "paper" if accelerated and "embedded" not in dataset else "demo"
