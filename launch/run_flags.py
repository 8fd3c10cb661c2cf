"""Flags that every training launcher has; `None` means the protocol's value."""

import dataclasses

import data_flags
import quiet_tensorflow  # noqa: F401
from absl import flags

from bayes_by_hypernet.data.sources import SOURCES
from bayes_by_hypernet.layers import STATISTICS
from bayes_by_hypernet.paper import methods, protocols
from bayes_by_hypernet.paper.methods import ARCHITECTURES, FORWARDS, KL_ESTIMATORS
from bayes_by_hypernet.posteriors import NOISES
from bayes_by_hypernet.training import STRATEGIES

flags.adopt_module_key_flags(data_flags)

PROTOCOL = flags.DEFINE_enum(
    "protocol", None, protocols.NAMES, "Length of training. MNIST: paper, quick, demo (100, 8, 2 "
    "epochs); CIFAR-5: paper, half, quick, demo (200, 40, 5, 1). Default: demo on the embedded set "
    "or without a GPU, else paper."
)  # fmt: skip
_DATASETS = ["auto", *SOURCES, *(source.stand_in.NAME for source in SOURCES.values())]
# What decides a run's numbers, and is a setting of the same name in `configuration.resolve`.
_SETTINGS = [
    flags.DEFINE_enum("dataset", "auto", _DATASETS, "auto: the set that the paper "
        "trains the network on where it is or can be had, else rendered digits (embedded), for "
        "ResNet-32 in colour (embedded_colour)."),
    flags.DEFINE_enum("method", "bbh", sorted(methods.METHODS), "Method to train."),
    PROTOCOL,
    flags.DEFINE_integer("epochs", None, "Epochs; default: the protocol's.", 1),
    flags.DEFINE_integer("batch_size", None, "Global batch size; default: 100.", 1),
    flags.DEFINE_float("learning_rate", None, "Adam's; default: 1e-4 for bbh, else 1e-3."),
    flags.DEFINE_enum("architecture", None, ARCHITECTURES, "bbh: a hypernetwork for each weight "
        "tensor (layerwise, default), those made slice by slice (sliced), one for all (single)."),
    flags.DEFINE_enum("noise", None, NOISES, "bbh: a z for each weight tensor, or one for all; "
        "default: independent (single: shared)."),
    flags.DEFINE_integer("noise_dim", None, "bbh: dimension of z; default: 1."),
    flags.DEFINE_integer("num_kl_samples", None, "bbh, bbb: weight samples of a KL that is "
        "estimated from samples; default: 5."),
    flags.DEFINE_integer("num_likelihood_samples", None, "bbh: how many of those enter the "
        "likelihood; default: 1."),
    flags.DEFINE_float("prior_stddev", None, "Of the normal prior; default: 1."),
    flags.DEFINE_enum("kl_estimator", None, KL_ESTIMATORS, "bbb: analytic (default), Eq. 2 weight "
        "by weight (bbh's default) or jointly, adversarial, entropy (docs/estimators.md)."),
    flags.DEFINE_integer("adversarial_weights", None, "Random weights that an adversarial estimate "
        "looks at; as many as there are: all; default: 65536, in the paper's protocol all."),
    flags.DEFINE_float("initial_log_variance", None, "bbb: where the log variances of the weights "
        "start; default: -9, for ResNet-32 -30."),
    flags.DEFINE_enum("forward", None, list(FORWARDS), "bbb: TFP's Flipout (default), or one "
        "weight sample a batch."),
    flags.DEFINE_float("rate", None, "dropout: probability of dropping a unit; default: 0.5."),
    flags.DEFINE_float("max_stddev", None, "mnf: where the standard deviations of sampling are "
        "clipped; default: 0.5, for ResNet-32 0.3."),
    flags.DEFINE_integer("flow_units", None, "mnf: hidden units of the flows; default: 50."),
    flags.DEFINE_integer("num_members", None, "ensemble: number of networks; default: 10, for "
        "ResNet-32 5."),
    flags.DEFINE_enum("batch_norm", None, STATISTICS, "ResNet-32: normalise by the statistics of "
        "the image itself, the batch, or the past; default: batch for layer-wise bbh, else "
        "instance."),
    flags.DEFINE_float("adversarial_epsilon", None, "ensemble: step of the fast sign method in "
        "training; default: 0.01."),
    flags.DEFINE_list("hidden_units", None, "bbh: of the hypernetworks; default: 64,256,512."),
    flags.DEFINE_integer("num_predictive_samples", None, "Posterior samples of every prediction; "
        "default: 100."),
    flags.DEFINE_float("temperature", None, "Factor on the KL; default: 1."),
    flags.DEFINE_integer("seed", None, "Of initialisation, batches and noise; default: 42."),
    flags.DEFINE_integer("max_train_examples", None, "Train on the first so many examples "
        "only; default: all."),
]  # fmt: skip

WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run directory; a run found there is resumed. Default: below runs/."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Start anew where --workdir holds a run.")
WAIT = flags.DEFINE_bool(
    "wait", False, "Wait where another process writes to --workdir; default: refuse to run."
)
STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", STRATEGIES, "Of tf.distribute; auto: multiworker where TF_CONFIG is set, "
    "mirrored where there are several GPUs, else one."
)  # fmt: skip
STEPS_PER_CALL = flags.DEFINE_integer("steps_per_call", 10, "Training steps of one call.", 1)
WORKER_MINUTES = flags.DEFINE_float(
    "worker_minutes", 10.0, "How long to wait at the start for the workers in TF_CONFIG.", 0.0
)
CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes", 5.0, "At most one checkpoint in this many minutes, besides the last.", 0.0
)
# Of `nan` no lower bound is true or false.
for _name in ("checkpoint_minutes", "worker_minutes"):
    flags.register_validator(_name, lambda minutes: minutes >= 0, "must be at least 0")


def settings():
    """Returns the settings that were given or have a default, by name."""
    given = {flag.name: flag.value for flag in _SETTINGS if flag.value is not None}
    if "hidden_units" in given:
        try:
            given["hidden_units"] = tuple(int(units) for units in given["hidden_units"])
        except ValueError:
            raise ValueError(
                "Argument `hidden_units` must be integers separated by commas. "
                f"Received: hidden_units={','.join(given['hidden_units'])}"
            ) from None
    return given


def default_workdir(config):
    """Returns `runs/<data>/<protocol>/<method>-<options that are not its defaults>-seed<n>`."""
    settings = protocols.method_settings(config.network, config.method)
    defaults = dataclasses.asdict(methods.get(config.method).Options(**settings))
    changed = [
        f"{name}={value}".replace(" ", "")
        for name, value in config.options.items()
        if value != defaults[name]
    ]
    name = "-".join([config.method, *changed, f"seed{config.seed}"])
    return f"runs/{config.dataset}/{config.protocol}/{name}"
