"""Which likelihood is meant: by name, by a Keras loss, by what a model was compiled with."""

import math
import warnings

import keras
import tensorflow as tf

from bayes_by_hypernet.checks import check_flag, refusal
from bayes_by_hypernet.likelihoods.base import Likelihood
from bayes_by_hypernet.likelihoods.bernoulli import Bernoulli
from bayes_by_hypernet.likelihoods.categorical import Categorical
from bayes_by_hypernet.likelihoods.gaussian import Gaussian
from bayes_by_hypernet.likelihoods.joint import Joint

NAMES = {"categorical": Categorical, "bernoulli": Bernoulli, "gaussian": Gaussian}

# Keras's losses, by the names of their functions.
_CATEGORICAL = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "kl_divergence",
)
_BERNOULLI = ("binary_crossentropy", "binary_focal_crossentropy")
_REGRESSION = (  # for which mean and spread of the outputs are what one wants to know
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
)


def get(likelihood, from_logits=None):
    """Returns a likelihood by name, or the object itself.

    Args:
        likelihood: `"categorical"`, `"bernoulli"`, `"gaussian"` (with unknown noise), or a
            `Likelihood`.
        from_logits: Boolean or None, for a name; None: logits.

    Raises:
        ValueError: If it is neither, or `from_logits` contradicts it.

    Example:
        >>> bbh.likelihoods.get("categorical")
        Categorical(from_logits=True)
    """
    if from_logits is not None:
        from_logits = check_flag("from_logits", from_logits)
    if isinstance(likelihood, Likelihood):
        if from_logits not in (None, getattr(likelihood, "from_logits", None)):
            raise ValueError(
                "Argument `from_logits` belongs to the likelihood where that is an object. "
                f"Received: from_logits={from_logits}, likelihood={likelihood}"
            )
        return likelihood
    if not isinstance(likelihood, str) or likelihood not in NAMES:
        allowed = '"categorical", "bernoulli", "gaussian" or an object of bbh.likelihoods'
        raise refusal("likelihood", allowed, likelihood)
    if likelihood == "gaussian":
        return Gaussian()
    return NAMES[likelihood](from_logits is not False)


def of_loss(loss):
    """Returns the likelihood that a loss of Keras stands for; None where it stands for none.

    Raises:
        ValueError: If it is a string, and Keras has no loss of this name.

    Example:
        >>> bbh.likelihoods.of_loss("mse")
        Gaussian(stddev=None)
    """
    if loss is None or isinstance(loss, Likelihood):
        return loss
    name = _function_of(loss).__name__
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    from_logits = bool(config.get("from_logits", False))
    if name in _CATEGORICAL:
        return Categorical(from_logits)
    if name in _BERNOULLI or name in _REGRESSION:
        likelihood = Bernoulli(from_logits) if name in _BERNOULLI else Gaussian()
        likelihood.averages_units = True
        return likelihood
    return None


def _function_of(loss):
    """Returns the function of a loss that is given by name, as an object, or as a function."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except (AttributeError, TypeError, ValueError):
            raise refusal("loss", "a loss, or the name of one in keras.losses", loss) from None
    function = getattr(loss, "fn", loss)
    return function if hasattr(function, "__name__") else type(function)


def losses_of_outputs(model, outputs):
    """Returns what a model was compiled with for each of its outputs, a list; None: nothing.

    Args:
        model: Keras model.
        outputs: Structure of what it returns; the list is in the order of `keras.tree.flatten`.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile(loss="mse")
        >>> bbh.likelihoods.losses_of_outputs(model, model.outputs[0])
        ['mse']
    """
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = _output_names(model, outputs)
        if not set(loss) <= set(names):  # keys of Keras's own output names
            names = model.output_names
        return [loss.get(name) for name in names]
    count = len(keras.tree.flatten(outputs))
    if isinstance(loss, (list, tuple)):
        return list(loss) if len(loss) == count else [None] * count
    return [loss] * count


def of_model(model, likelihood=None, from_logits=None, outputs=None):
    """Returns the likelihood of a model: as given, as compiled, or else categorical.

    Args:
        model: Keras model, or what has an attribute `likelihood`.
        likelihood: As for `get`, one for all outputs or one for each in their structure; None: by
            the compiled loss, else categorical.
        from_logits: As for `get`.
        outputs: Structure of tensors or KerasTensors that the model returns.

    Returns:
        `Likelihood`, or `Joint` for several outputs.

    Raises:
        ValueError: If the outputs have one unit and nothing says what it is, or they do not fit.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
        >>> bbh.likelihoods.of_model(model, outputs=model.outputs[0])
        Bernoulli(from_logits=True)
    """
    flat = keras.tree.flatten(outputs)
    if len(flat) == 2 and isinstance(likelihood, Gaussian) and likelihood.is_learned:
        return likelihood  # a pair (mean, log standard deviation)
    if likelihood is None:
        likelihoods = _inferred(model, from_logits, outputs)
    elif isinstance(likelihood, (dict, list, tuple)):
        try:
            keras.tree.assert_same_structure(
                keras.tree.map_structure(lambda _: 0, outputs),
                keras.tree.map_structure(lambda _: 0, likelihood),
            )
        except (ValueError, TypeError):
            raise ValueError(
                "Argument `likelihood` must be one likelihood, or have the structure of the "
                f"model's outputs, {_outline(outputs)}. Received: likelihood={likelihood!r}"
            ) from None
        likelihoods = [get(one, from_logits) for one in keras.tree.flatten(likelihood)]
    else:
        likelihoods = [get(likelihood, from_logits)] * len(flat)
    for one, output in zip(likelihoods, flat, strict=True):
        one.check_outputs(output.shape)
    if not isinstance(outputs, (dict, list, tuple)):
        return likelihoods[0]
    return Joint(outputs, _output_names(model, outputs), likelihoods)


def _inferred(model, from_logits, outputs):
    """Returns the likelihood of each output of a model that nobody has named."""
    own = getattr(model, "likelihood", None)
    losses = losses_of_outputs(model, outputs)
    if own is not None:
        losses = [own] * len(losses)
    likelihoods = []
    for loss in losses:
        likelihood = of_loss(loss)
        if likelihood is None:
            if loss is not None:
                _check_unknown(loss)
                warnings.warn(
                    f"The compiled loss {loss} does not say how labels are distributed; outputs "
                    "are taken for logits of classes. Pass `likelihood` to say what they are.",
                    stacklevel=5,
                )
            likelihood = Categorical(from_logits is not False)
        elif from_logits is not None and hasattr(likelihood, "from_logits"):
            likelihood = type(likelihood)(from_logits)
        likelihoods.append(likelihood)
    return likelihoods


def _check_unknown(loss):
    """Raises a ValueError for a loss of Keras's that stands for no likelihood here."""
    function = _function_of(loss)
    if function is getattr(keras.losses, function.__name__, None):
        raise ValueError(
            f"The compiled loss {function.__name__!r} does not say how labels are distributed: "
            'pass `likelihood`, "categorical", "bernoulli", "gaussian" or an object of '
            "bbh.likelihoods. Received: likelihood=None"
        )


def _output_names(model, outputs):
    """Returns a name for each output: the keys of a dict, the model's names, or numbers."""
    if isinstance(outputs, dict):
        return sorted(outputs)  # the order of keras.tree.flatten
    names = getattr(model, "output_names", None)
    count = len(keras.tree.flatten(outputs))
    return names if names and len(names) == count else [f"output_{i}" for i in range(count)]


def _outline(outputs):
    """Returns the structure of the outputs in words."""
    return keras.tree.map_structure(lambda output: str(tuple(output.shape)), outputs)


def terms_per_example(likelihood, outputs):
    """Returns how many log densities of an example a loss averages, a scalar tensor.

    Those of the positions between batch and units, and of Keras's losses for labels and
    regressions those of the units too. The KL must be divided by as many.

    Args:
        likelihood: What `of_loss` returned; None counts as categorical.
        outputs: Tensor `(batch, ..., units)`.

    Example:
        >>> likelihood, outputs = bbh.likelihoods.Categorical(), tf.zeros((2, 12, 3))
        >>> float(bbh.likelihoods.terms_per_example(likelihood, outputs))
        12.0
    """
    sizes = tf.shape(outputs)[1:] if getattr(likelihood, "averages_units", False) else None
    if sizes is None:
        sizes = tf.shape(outputs)[1:-1]
    return tf.cast(tf.reduce_prod(sizes), tf.float32)  # without any: 1


def known_terms_per_example(likelihood, shape):
    """As `terms_per_example`, for a static shape; None where it is not known.

    Example:
        >>> bbh.likelihoods.known_terms_per_example(bbh.likelihoods.Categorical(), (None, 12, 3))
        12
    """
    sizes = shape[1:] if getattr(likelihood, "averages_units", False) else shape[1:-1]
    return None if None in tuple(sizes) else math.prod(sizes)
