"""Cases of what is made before it is used: layers, noise, priors, hypernetworks, optimisers."""

import keras
import numpy as np
from fuzz.case import Case

import bayes_by_hypernet as bbh

# Each with another value than the default where that makes a difference.
_KL = {"kl_estimator": None, "num_train_examples": 10, "seed": 1}
_CONV = {"filters": 4, "kernel_size": 3, "strides": 1, "padding": "same", "activation": "relu"}
_DENSE = {"units": 4, "activation": "relu"}
_GAUSSIAN = {"use_bias": True, "prior_stddev": 0.5, "initial_log_variance": -8.0}
_MNF = {"prior_stddev": 0.5, "max_stddev": 0.5, "flow_units": 4}
_THIN = {
    "use_bias": True,
    "noise_dim": 2,
    "num_samples": 3,
    "hidden_units": (4,),
    "num_slices": 2,
    "prior": None,
    "num_likelihood_samples": 1,
    "max_parameters": 10_000,
}
_WRAPPER = {
    "num_samples": 3,
    "num_likelihood_samples": 1,
    "max_parameters": 10_000,
    "pretrained": False,
    "include": None,
    "exclude": None,
}
_HYPERNET = {
    "architecture": "sliced",
    "noise": "shared",
    "noise_dim": 2,
    "hidden_units": (4,),
    "num_slices": 2,
    "chunk_size": 8,
    "embedding_dim": 2,
    "prior": None,
}

LAYER = object()  # in place of a new layer

LAYERS = {
    "AuxiliaryNoise": {"dim": 2, "num_samples": 3, "seed": 1},
    "layers.BatchNormalization": {"statistics": "moving", "momentum": 0.5, "epsilon": 0.25},
    "layers.MCDropout": {"rate": 0.5, "seed": 1},
    "layers.LearnedStddev": {"per_output": True, "initial_stddev": 0.5},
    "layers.DenseFlipout": {**_DENSE, **_GAUSSIAN, **_KL},
    "layers.DenseReparameterization": {**_DENSE, **_GAUSSIAN, **_KL},
    "layers.Conv2DFlipout": {**_CONV, **_GAUSSIAN, **_KL},
    "layers.Conv2DReparameterization": {**_CONV, **_GAUSSIAN, **_KL},
    "layers.DenseMNF": {**_DENSE, **_MNF, **_KL},
    "layers.Conv2DMNF": {**_CONV, **_MNF, **_KL},
    "layers.DenseHypernet": {**_DENSE, **_THIN, **_KL},
    "layers.Conv2DHypernet": {
        **_CONV,
        "data_format": "channels_last",
        "dilation_rate": 1,
        "groups": 1,
        **_THIN,
        **_KL,
    },
    "HypernetworkKernel": {"kernel_shape": (4, 2), "hidden_units": (4,), "num_slices": 2},
    "SingleHypernetwork": {"weight_shapes": [(4, 2), (2,)], "num_slices": 2, "hidden_units": (4,)},
    "ChunkedHypernetwork": {
        "weight_shapes": [(4, 2), (2,)],
        "chunk_size": 4,
        "embedding_dim": 2,
        "hidden_units": (4,),
    },
    "likelihoods.Categorical": {"from_logits": True},
    "likelihoods.Bernoulli": {"from_logits": True},
    "likelihoods.Gaussian": {"stddev": 0.5},
}
WRAPPERS = {
    "layers.Hypernet": {"layer": LAYER, **_HYPERNET, **_WRAPPER, **_KL},
    "layers.MeanField": {
        "layer": LAYER,
        "initial_log_variance": -8.0,
        "prior_stddev": 0.5,
        **_WRAPPER,
        **_KL,
    },
}
OPTIMIZER = {
    "learning_rate": 0.25,
    "beta_1": 0.5,
    "beta_2": 0.5,
    "epsilon": 0.25,
    "amsgrad": False,
    "weight_decay": 0.5,
    "clipnorm": 1.0,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": True,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 2,
    "loss_scale_factor": 2.0,
    "gradient_accumulation_steps": 2,
}
SHAPES = {"Conv2D": (None, 5, 5, 2), "BatchNormalization": (None, 5, 5, 2)}


def find(name):
    """Returns what `bbh.<name>` is."""
    found = bbh
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _made(name, wraps=False):
    """Returns a function that makes the object, builds it where that is cheap, and describes it.

    The description is what Keras writes to a file.
    """

    def make(**arguments):
        if wraps and arguments["layer"] is LAYER:
            arguments["layer"] = keras.layers.Dense(4)
        made = find(name)(**arguments)
        if isinstance(made, keras.layers.Layer) and _is_small(arguments):
            kind = name.split(".")[-1]
            made.build(next((s for k, s in SHAPES.items() if k in kind), (None, 2)))
        config = keras.saving.serialize_keras_object(made)  # fails where a file could not hold it
        return {k: v for k, v in config["config"].items() if isinstance(v, (int, float))}

    return make


def _is_small(arguments):
    return all(
        not isinstance(n, (int, np.integer)) or n < 1000
        for n in keras.tree.flatten(list(arguments.values()))
    )


def _plain(function):
    return lambda **arguments: vars(function(**arguments)) and None


CASES = [
    *(Case(name, _made(name), arguments) for name, arguments in LAYERS.items()),
    *(Case(name, _made(name, wraps=True), arguments) for name, arguments in WRAPPERS.items()),
    Case("NormalPrior", _made("NormalPrior"), {"stddev": 0.5}),
    Case("FusedAdam", _made("FusedAdam"), OPTIMIZER, also_named=("momentum",)),
    Case(
        "callbacks.KLAnnealing",
        _plain(bbh.callbacks.KLAnnealing),
        {"start_epoch": 1.0, "num_epochs": 2.0},
    ),
]
