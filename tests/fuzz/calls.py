"""Cases of what is called with data: prediction, attacks, layers, divergences, likelihoods."""

import functools

import keras
import numpy as np
import tensorflow as tf
from fuzz.case import Case
from hypothesis import reject

import bayes_by_hypernet as bbh
from bayes_by_hypernet.data import corruptions

X = np.arange(8.0).reshape(2, 4) / 4
Y = np.array([0, 2])
Z = np.array([[1.0, -0.5], [0.5, 2.0]])
IMAGES = np.arange(2 * 4 * 4).reshape(2, 4, 4, 1) / 32
FEATURES = np.arange(2 * 4 * 4 * 2.0).reshape(2, 4, 4, 2) / 16
QS, PS = np.array([[0.0, 1.0], [0.5, 2.0], [2.0, 0.5]]), np.array([[0.25, 1.0], [1.5, 2.0]])
LISTS = ("list", "tuple")  # to Keras, of several inputs
LOGITS = np.array([[0.0, 1.0, -1.0], [2.0, 0.5, 0.0]], np.float32)


@functools.cache
def model():
    """A small network for three classes: its weights are samples from hypernetworks."""
    keras.utils.set_random_seed(0)
    layer = bbh.layers.DenseHypernet(3, hidden_units=(4,), num_train_examples=10, seed=1)
    return keras.Sequential([keras.Input((4,)), layer])


def plain():
    """A small network to be made Bayesian."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(4, name="first")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, name="last")(hidden))


@functools.cache
def posterior():
    """The posterior of a run, without a run."""
    import tiny

    from bayes_by_hypernet.paper.posterior import Posterior

    return Posterior(tiny.method(), config=None)


def _given(inputs):
    """Returns inputs that reach a layer's own code; gives others up.

    Keras makes tensors of arrays first. One that it can't is refused before that, as by each of
    Keras's own layers.
    """
    if isinstance(inputs, (np.ndarray, np.generic)):
        try:
            tf.convert_to_tensor(inputs)
        except (TypeError, ValueError):
            reject()
    return inputs


def _layer(name, good, **arguments):
    """Returns the case of a layer's call on inputs, with the same draws each time."""

    @functools.cache
    def made():
        keras.utils.set_random_seed(0)
        found = bbh
        for part in name.split("."):
            found = getattr(found, part)
        layer = found(**arguments)
        layer(tf.constant(good, tf.float32))
        return layer

    def call(inputs):
        layer = made()
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([1, 0])
        return layer(_given(inputs))

    return Case(f"{name}.call", call, {"inputs": good}, may_be_nan=True, rtol=1e-5, refuses=LISTS)


def _with_noise(noise):
    return model().layers[0](tf.constant(X, tf.float32), noise=_given(noise))


def _generator(name, **arguments):
    @functools.cache
    def made():
        keras.utils.set_random_seed(0)
        hypernetwork = getattr(bbh, name)(**arguments, hidden_units=(4,))
        hypernetwork(tf.constant(Z, tf.float32))
        return hypernetwork

    def call(z):
        return made()(_given(z))

    return Case(f"{name}.call", call, {"z": Z}, may_be_nan=True, rtol=1e-5, refuses=LISTS)


def _bayesify(**arguments):
    bbh.bayesify(plain(), **arguments, verbose=False)


def _loss(kind):
    return lambda y_true, y_pred: kind()(y_true, y_pred)


def _corrupt(images, family, strength, seed):
    return corruptions.corrupt(images, family, strength, seed)


def _local_step(gradients):
    variable = keras.Variable([1.0, 2.0])
    optimizer = bbh.FusedAdam(0.1)
    optimizer.build([variable])
    optimizer.apply_local([gradients], [variable])
    return variable.numpy()


_PREDICT = {
    "x": X,
    "num_samples": 3,
    "batch_size": 2,
    "seed": 1,
    "from_logits": True,
    "return_samples": False,
    "likelihood": "categorical",
    "verbose": 0,
}
_ATTACK = {
    "x": X,
    "y": Y,
    "epsilon": 0.25,
    "num_samples": 3,
    "average": "examples",
    "clip": (-10.0, 10.0),
    "from_logits": True,
    "seed": 1,
    "likelihood": "categorical",
}
_KL = {
    "posterior_samples": QS,
    "prior_samples": PS,
    "estimator": "full",
    "implementation": "tensorflow",
}
_BAYESIFY = {
    "method": "mean_field",
    "num_train_examples": 10,
    "include": "first",
    "exclude": None,
    "max_parameters": 1000,
    "seed": 1,
    "temperature": 0.5,
    "num_validation_samples": 2,
    "keep_dropout": True,
}
_FOUND = {"name": "embedded", "data_dir": None, "notmnist_dir": None}


CASES = [
    Case(
        "predict",
        lambda **arguments: bbh.predict(model(), **arguments),
        _PREDICT,
        also_named=("model",),
        rtol=1e-4,
    ),
    Case("predict", lambda model: bbh.predict(model, X, verbose=0), {"model": None}),
    Case(
        "fast_sign_attack",
        lambda **arguments: bbh.fast_sign_attack(model(), **arguments),
        _ATTACK,
        also_named=("model", "labels"),
    ),
    Case("nearest_neighbor_kl", bbh.nearest_neighbor_kl, _KL, may_be_nan=True, rtol=1e-5),
    Case("kernel_kl", bbh.kernel_kl, _KL, may_be_nan=True, rtol=1e-5),
    Case(
        "entropy_kl",
        bbh.entropy_kl,
        {"posterior_samples": QS, "prior": None, "implementation": "auto"},
        may_be_nan=True,
        rtol=1e-5,
    ),
    Case("bayesify", _bayesify, _BAYESIFY),
    Case("bayesify", lambda model: bbh.bayesify(model), {"model": None}),
    Case("NormalPrior.call", bbh.NormalPrior(0.5), {"shape": (2, 3), "seed": (1, 2)}),
    Case(
        "AuxiliaryNoise.call",
        lambda num_samples: bbh.AuxiliaryNoise(seed=1)(None, num_samples=_given(num_samples)),
        {"num_samples": 3},
    ),
    _generator("HypernetworkKernel", kernel_shape=(3, 2)),
    _generator("SingleHypernetwork", weight_shapes=[(3, 2), (2,)]),
    _generator("ChunkedHypernetwork", weight_shapes=[(3, 2), (2,)], chunk_size=4),
    Case(
        "layers.DenseHypernet.call",
        _with_noise,
        {"noise": Z[:, :1]},
        refuses=LISTS,
        may_be_nan=True,
    ),
    _layer("layers.DenseHypernet", X, units=3, hidden_units=(4,), seed=1),
    _layer("layers.DenseFlipout", X, units=3, seed=1),
    _layer("layers.DenseReparameterization", X, units=3, seed=1),
    _layer("layers.DenseMNF", X, units=3, flow_units=2, seed=1),
    _layer("layers.MCDropout", X, rate=0.5, seed=1),
    _layer("layers.LearnedStddev", X),
    _layer("layers.Conv2DFlipout", FEATURES, filters=2, kernel_size=2, seed=1),
    _layer("layers.BatchNormalization", FEATURES),
    Case("likelihoods.get", bbh.likelihoods.get, {"likelihood": "bernoulli", "from_logits": True}),
    Case("likelihoods.of_loss", bbh.likelihoods.of_loss, {"loss": None}),
    Case(
        "likelihoods.Categorical.call",
        _loss(bbh.likelihoods.Categorical),
        {"y_true": Y, "y_pred": LOGITS},
        kept=("y_pred",),
        also_named=("labels",),
    ),
    Case(
        "likelihoods.Bernoulli.call",
        _loss(bbh.likelihoods.Bernoulli),
        {"y_true": np.array([[0, 1, 1], [1, 0, 0]]), "y_pred": LOGITS},
        kept=("y_pred",),
        also_named=("labels",),
        may_be_nan=True,
    ),
    Case(
        "likelihoods.Gaussian.call",
        _loss(bbh.likelihoods.Gaussian),
        {"y_true": X[:, :3], "y_pred": LOGITS},
        kept=("y_pred",),
        also_named=("labels",),
        may_be_nan=True,
    ),
    Case(
        "Posterior.sample",
        lambda num_samples, seed: posterior().sample(num_samples, seed),
        {"num_samples": 2, "seed": 1},
    ),
    Case("load", bbh.load, {"run_directory": "nowhere"}),
    Case("data.load", lambda name: bbh.data.resolve(name), {"name": "embedded"}),
    Case("data.resolve", bbh.data.resolve, _FOUND),
    Case("data.validate_images", bbh.data.validate_images, {"images": IMAGES}),
    Case(
        "data.corruptions.corrupt",
        _corrupt,
        {"images": IMAGES, "family": "brightness", "strength": 2, "seed": 1},
        rtol=1e-2,  # of half precision, in which the answer comes where the images do
    ),
    Case(
        "FusedAdam.apply_local", _local_step, {"gradients": np.array([0.5, -1.0])}, may_be_nan=True
    ),
]
