"""Which variables of a layer or model get a posterior: `include` and `exclude`."""

import fnmatch
import inspect

import keras

from bayes_by_hypernet import compat
from bayes_by_hypernet.checks import refusal

# Their scales start at 1 and their number is small: points, as in the paper's ResNet.
NORMALIZATIONS = tuple(
    getattr(keras.layers, name)
    for name in (
        "BatchNormalization",
        "GroupNormalization",
        "LayerNormalization",
        "RMSNormalization",
        "SpectralNormalization",
    )
    if hasattr(keras.layers, name)
)


def select(layer, include=None, exclude=None):
    """Returns the variables that get a posterior, a dict from name to Keras variable.

    Args:
        layer: Built Keras layer or model.
        include: Layers whose trainable variables get one: a name or pattern (`"block_5*"`, also of
            a variable's path, `"*/kernel"`), a layer class, a function of a layer that returns a
            boolean, or a list of these. None: all.
        exclude: Likewise, layers whose variables keep their values. None: the normalisation layers
            inside a model, unless `include` names what is wanted; `()`: none.

    Raises:
        ValueError: If something of `include` or `exclude` matches nothing, or nothing is selected.
    """
    check_selection(include, exclude)
    owners = _owners(layer)
    if not owners:
        raise ValueError(
            f"The layer {layer.name!r} has no trainable variables: it has none, they are frozen, "
            "or they stand for samples of another posterior already. Pass a copy, "
            "keras.models.clone_model(model), or set `trainable` before."
        )
    included = _matching("include", include, owners, layer)
    if exclude is None:
        excluded = set()
        if include is None and not isinstance(layer, NORMALIZATIONS):
            excluded = {i for i, (_, inside) in owners.items() if _keep_points(inside)}
    else:
        excluded = _matching("exclude", exclude, owners, layer)
    chosen = {}
    for i, (variable, _) in owners.items():
        if (include is None or i in included) and i not in excluded:
            name = variable.path
            while name in chosen:  # two layers of one name
                name += "_"
            chosen[name] = variable
    if not chosen:
        raise ValueError(
            f"The layer {layer.name!r} has no trainable variable that `include` and `exclude` "
            f"select. Received: include={include!r}, exclude={exclude!r}, with the layers "
            f"{_names(owners)}"
        )
    return chosen


def check_selection(include, exclude):
    """Returns both; ValueError where one is no name, class, function, or list of these, or None."""
    for name, value in (("include", include), ("exclude", exclude)):
        wanted = value if isinstance(value, (list, tuple, set)) else [value]
        if value is not None and not all(isinstance(w, str) or callable(w) for w in wanted):
            allowed = "names, patterns, layer classes, functions of a layer, or lists of them"
            raise refusal(name, allowed, value)
    return include, exclude


def _owners(layer):
    """Dict, id of a trainable variable to it and the layers that hold it, the innermost last."""
    owners = {}
    for inner in compat.flatten_layers(layer):
        for variable in inner.trainable_variables:
            owners.setdefault(id(variable), (variable, []))[1].append(inner)
    # In the order of the model's own list: that of the computation.
    order = {id(v): i for i, v in enumerate(layer.trainable_variables)}
    return dict(sorted(owners.items(), key=lambda item: order[item[0]]))


def _matching(name, wanted, owners, layer):
    """Ids of the variables that something of `wanted` matches."""
    if wanted is None:
        return set()
    single = not isinstance(wanted, (list, tuple, set))
    found = set()
    for one in [wanted] if single else wanted:
        matches = {i for i, (variable, inside) in owners.items() if _fits(one, variable, inside)}
        if not matches:
            raise ValueError(
                f"Argument `{name}` must name layers of {layer.name!r} with trainable variables, "
                f"which are {_names(owners)}, or patterns, layer classes or functions that match "
                f"some. Received: {name}={one!r}, which matches none"
            )
        found |= matches
    return found


def _fits(wanted, variable, layers):
    if isinstance(wanted, str):
        names = [variable.path, *(layer.name for layer in layers)]
        return any(fnmatch.fnmatchcase(name, wanted) for name in names)
    if inspect.isclass(wanted):
        return any(isinstance(layer, wanted) for layer in layers)
    return any(wanted(layer) for layer in layers)


def _keep_points(layers):
    return any(
        isinstance(layer, NORMALIZATIONS) or getattr(layer, "keeps_points", False)
        for layer in layers
    )


def _names(owners):
    return sorted({inside[-1].name for _, inside in owners.values()})
