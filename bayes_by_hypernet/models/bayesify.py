"""`bayesify`: a posterior over the variables of any Keras model, in one line."""

import functools
import math
import sys

import keras

from bayes_by_hypernet import layers
from bayes_by_hypernet.checks import check_choice, check_flag, described
from bayes_by_hypernet.divergences import SAMPLED_ESTIMATORS
from bayes_by_hypernet.models.bayesian_model import BayesianModel, inputs_of
from bayes_by_hypernet.posteriors.selection import select

# Method name to the function that puts its posterior into a model; see `register`.
METHODS = {}
# Layers with an estimator of their own, by method and Keras class.
CONVERSIONS = {
    "flipout": {
        keras.layers.Dense: layers.DenseFlipout,
        keras.layers.Conv2D: layers.Conv2DFlipout,
    },
    "reparameterization": {
        keras.layers.Dense: layers.DenseReparameterization,
        keras.layers.Conv2D: layers.Conv2DReparameterization,
    },
    "mnf": {keras.layers.Dense: layers.DenseMNF, keras.layers.Conv2D: layers.Conv2DMNF},
}


def register(name):
    """Decorator that makes a method known to `bayesify`.

    The function takes a Keras model, the settings of the `BayesianModel` that it returns (a dict),
    the selection (a dict with `include`, `exclude`, `max_parameters`) and the method's options as
    keywords:

    Example:
        >>> @bbh.models.register("plain")
        ... def plain(model, settings, selection, prior_stddev=1.0):
        ...     return bbh.models.BayesianModel(model, weight_decay_stddev=prior_stddev, **settings)
        >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> bbh.bayesify(network, "plain", num_train_examples=100).num_weights
        15
        >>> del bbh.models.METHODS["plain"]
    """

    def decorate(function):
        METHODS[name] = function
        return function

    return decorate


def bayesify(
    model,
    method="hypernet",
    num_train_examples=None,
    include=None,
    exclude=None,
    max_parameters=None,
    seed=None,
    **options,
):
    """Makes a Keras model Bayesian: puts a posterior over its trainable variables.

    The result is a functional Keras model: compile, fit, save, reload, export it as any other, and
    predict with `bbh.predict`. See `BayesianModel` for its loss and its log.

    Args:
        model: Functional or Sequential Keras model, built. It shares its layers with the result.
        method: `"hypernet"` (the paper's; weights are samples from hypernetworks), `"mean_field"`
            (a Gaussian for each weight, one draw a batch), `"flipout"`, `"reparameterization"`
            (the same Gaussians by TFP's layers where it has them: `Dense`, `Conv2D`), `"mnf"`
            (multiplicative normalising flows, likewise), `"dropout"` (MC-dropout in place of the
            model's `Dropout` layers), `"map"` (points with weight decay), or a registered one.
            Layers that `flipout`, `reparameterization` and `mnf` have no estimator for get
            `mean_field`, and a message says which.
        num_train_examples: Integer N, the number of training examples: the KL enters as KL / N.
        include, exclude: Which layers get a posterior: names or patterns, layer classes, functions
            of a layer, or lists of them. By default all but normalisation layers.
        max_parameters: The largest number of parameters that the posterior may have; None: what
            half of the free memory holds with Adam's moments.
        seed: Integer or None.
        **options: The method's, see `bbh.layers.Hypernet`, `MeanField`, `DenseFlipout`,
            `DenseMNF`. `keep_dropout=False` strips the model's `Dropout` layers; `temperature`
            and `num_validation_samples` are `BayesianModel`'s.

    Returns:
        `BayesianModel`.

    Raises:
        ValueError: If an argument is not allowed, or the posterior would have more parameters
            than `max_parameters`; the message names the layers that cost most and what to do.

    Example:
        >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
        >>> network = keras.Sequential(layers)
        >>> model = bbh.bayesify(network, num_train_examples=100, hidden_units=(8, 16))
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile(bbh.FusedAdam(1e-3), loss, metrics=["accuracy"])
        >>> x, y = np.random.normal(size=(100, 4)), np.random.randint(3, size=100)
        >>> history = model.fit(x, y, verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'kl_per_example', 'loss', 'nll']
        >>> bbh.predict(model, x, num_samples=10).mean.shape
        (100, 3)
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            "Argument `model` must be a Keras model; wrap a layer with bbh.layers.Hypernet or "
            f"MeanField. Received: {described(model)} of type {type(model).__name__}"
        )
    check_choice("method", method, tuple(METHODS))
    inputs_of(model)
    if not check_flag("keep_dropout", options.pop("keep_dropout", True)):
        model = replace_layers(model, _without_dropout)
    settings = {name: options.pop(name) for name in _OF_MODEL if name in options}
    settings |= {"num_train_examples": num_train_examples, "seed": seed, "name": model.name}
    selection = {"include": include, "exclude": exclude, "max_parameters": max_parameters}
    return METHODS[method](model, settings, selection, **options)


_OF_MODEL = ("temperature", "num_validation_samples")


@register("hypernet")
def _hypernet(model, settings, selection, **options):
    if options.get("kl_estimator") == "adversarial":
        stddev = getattr(options.get("prior"), "stddev", 1.0)
        settings = {**settings, **_joint("adversarial", stddev, options)}
        options["kl_estimator"] = None
    options.pop("estimator_settings", None)
    return _wrapped(layers.Hypernet, model, settings, selection, **options)


def _wrapped(wrapper, model, settings, selection, verbose=True, **options):
    """Returns the `BayesianModel` of a model inside one wrapper."""
    shared = {name: settings[name] for name in ("num_train_examples", "seed")}
    body = wrapper(model, **shared, **selection, **options)
    selected = select(model, body.include, body.exclude)
    shapes = [tuple(variable.shape) for variable in selected.values()]
    num_parameters = sum(body.count_parameters(list(selected), shapes).values())
    _say(verbose, model, num_parameters, sum(map(math.prod, shapes)))
    return BayesianModel(body, **settings)


def _say(verbose, model, num_parameters, num_weights):
    """Says how large the posterior will be, before it is made."""
    if verbose:
        print(
            f"{model.name}: a posterior with {num_parameters:,} parameters over {num_weights:,} "
            "weights",
            file=sys.stderr,
        )


def _converted(
    method,
    model,
    settings,
    selection,
    kl_estimator="default",
    num_samples=5,
    pretrained=False,
    verbose=True,
    estimator_settings=None,
    **options,
):
    """Returns the `BayesianModel` of a model whose layers were replaced one by one."""
    stddev = options.get("prior_stddev", 1.0)
    own = {}  # of each layer
    if kl_estimator in SAMPLED_ESTIMATORS:
        joint = {"num_samples": num_samples, "estimator_settings": estimator_settings}
        settings = {**settings, **_joint(kl_estimator, stddev, joint)}
        own = {"kl_estimator": None}
    elif kl_estimator != "default":
        own = {"kl_estimator": kl_estimator}
    shared = {"num_train_examples": settings["num_train_examples"], **own}
    selected = {id(v) for v in select(model, selection["include"], selection["exclude"]).values()}
    unknown, converted = [], []

    def convert(layer):
        variables = [v for v in layer.trainable_variables if id(v) in selected]
        if not variables:
            return layer
        layer_class = CONVERSIONS[method].get(type(layer))
        if layer_class and _is_convertible(layer, variables):
            new = layer_class(**_arguments(layer, layer_class), **shared, **options)
            converted.append((layer, new))
            return new
        unknown.append(layer.name)
        paths = [variable.path for variable in variables]
        return layers.MeanField(
            layer,
            prior_stddev=stddev,
            include=paths,
            name=layer.name,
            max_parameters=selection["max_parameters"],
            pretrained=pretrained,
            **shared,
        )

    body = replace_layers(model, convert)
    if unknown and verbose:
        print(
            f"{model.name}: {method!r} has no estimator for {', '.join(unknown)}; they get "
            "'mean_field'",
            file=sys.stderr,
        )
    made = BayesianModel(body, **settings)
    if pretrained:
        for layer, new in converted:
            new.start_at(layer.kernel, layer.bias if layer.use_bias else None)
    _say(verbose, model, made.num_parameters, made.num_weights)
    return made


register("mean_field")(functools.partial(_wrapped, layers.MeanField))
for _name in CONVERSIONS:
    register(_name)(functools.partial(_converted, _name))


def _joint(name, prior_stddev, options):
    """Returns the settings of a `BayesianModel` whose KL is estimated over all weights jointly."""
    return {
        "kl_estimator": name,
        "prior_stddev": prior_stddev,
        "num_samples": options.get("num_samples", 5),
        "estimator_settings": options.pop("estimator_settings", None),
    }


def _is_convertible(layer, variables):
    """Whether the estimators know a layer's settings, and all of its variables are wanted."""
    plain = len(variables) == len(layer.trainable_variables)
    if isinstance(layer, keras.layers.Conv2D):
        plain = plain and layer.groups == 1 and set(layer.dilation_rate) == {1}
        plain = plain and layer.data_format == "channels_last"
    no_extras = not any(
        getattr(layer, name, None)
        for name in ("kernel_constraint", "bias_constraint", "kernel_regularizer", "lora_rank")
    )
    return plain and no_extras


def _arguments(layer, layer_class):
    """Returns the arguments that a converted layer shares with the Keras layer."""
    names = ["name", "activation", "dtype"]
    names += (
        ["filters", "kernel_size", "strides", "padding"] if hasattr(layer, "filters") else ["units"]
    )
    config = layer.get_config()
    arguments = {name: config[name] for name in names}
    if not layer.use_bias:
        if issubclass(layer_class, (layers.DenseMNF, layers.Conv2DMNF)):
            return arguments
        arguments["use_bias"] = False
    return arguments


@register("dropout")
def _dropout(model, settings, selection, rate=None, prior_stddev=1.0, verbose=True):
    """MC-dropout in place of `Dropout`; points with the weight decay of a normal prior."""
    replaced = []

    def convert(layer):
        if type(layer) is not keras.layers.Dropout:
            return layer
        replaced.append(layer.name)
        return layers.MCDropout(
            layer.rate if rate is None else rate, name=layer.name, dtype=layer.dtype_policy
        )

    _check_unselected("dropout", selection)
    body = replace_layers(model, convert)
    if not replaced:
        raise ValueError(
            "Argument `method` must not be 'dropout' for a model without Dropout layers: these "
            f"decide where units are dropped. Received: model={model.name!r}, whose layers are "
            f"{[layer.name for layer in model.layers]}"
        )
    return BayesianModel(body, weight_decay_stddev=prior_stddev, **settings)


@register("map")
def _map(model, settings, selection, prior_stddev=1.0, verbose=True):
    """Maximum a posteriori: points with the weight decay of a normal prior on kernels."""
    _check_unselected("map", selection)
    return BayesianModel(model, weight_decay_stddev=prior_stddev, **settings)


def _check_unselected(method, selection):
    for name in ("include", "exclude"):
        if selection[name] is not None:
            raise ValueError(
                f"Argument `{name}` has no meaning for method={method!r}, whose weights are "
                f"points. Received: {name}={selection[name]!r}"
            )


def replace_layers(model, convert):
    """Returns a model of the same graph in which `convert(layer)` replaces each layer.

    Layers that `convert` returns as they are stay shared between both models.

    Args:
        model: Functional or Sequential Keras model; models inside are converted too.
        convert: Function of a layer that returns a layer.

    Example:
        >>> def convert(layer):
        ...     is_dropout = isinstance(layer, keras.layers.Dropout)
        ...     return bbh.layers.MCDropout(layer.rate) if is_dropout else layer
        >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        >>> [type(layer).__name__ for layer in bbh.models.replace_layers(network, convert).layers]
        ['MCDropout']
    """
    made = {}

    def once(layer):  # a layer that is called twice stays one layer
        if not isinstance(layer, keras.layers.Layer):  # an operation, `x + y`
            return layer
        if id(layer) not in made:
            made[id(layer)] = convert(layer)
        return made[id(layer)]

    return keras.models.clone_model(model, clone_function=once, recursive=True)


def _without_dropout(layer):
    """Returns an identity for a `Dropout` layer."""
    if type(layer) is keras.layers.Dropout:
        return keras.layers.Identity(name=layer.name)
    return layer
