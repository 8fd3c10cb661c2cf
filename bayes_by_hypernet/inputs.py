"""What models are called with: arrays, lists, dicts and data sets, checked and cut into batches."""

import itertools

import keras
import numpy as np
import tensorflow as tf


class Inputs:
    """The inputs of a model, batch by batch.

    Args:
        x: What Keras's `predict` takes: an array, tensor or list of numbers; several of them as a
            list or dict, as the model has inputs; a `tf.data.Dataset`, `keras.utils.PyDataset` or
            generator of batches, with or without labels.
        specs: KerasTensors of the model's inputs in its structure; None where not known.
        batch_size: Integer, of arrays; data sets have their own.
        rebatch: Whether data sets are cut into batches of `batch_size` too.

    Attributes:
        num_examples: Integer, or None where only the end of the data tells.

    Raises:
        ValueError: If an array has another shape or dtype than the model's input, is empty, or
            holds values that are not finite. Of data sets each batch is checked when it comes.
    """

    def __init__(self, x, specs, batch_size, rebatch=False):
        self._specs = specs
        self._source = x
        self._batch_size = _fixed_batch_size(specs) or batch_size
        self.num_examples = None
        if _is_dataset(x):
            if isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY:
                raise ValueError(
                    "Argument `x` must be a data set that ends; use x.take(num_batches). Received: "
                    "a data set without end"
                )
            if not rebatch:
                return
            batches = [keras.tree.flatten(batch) for batch in self._of_dataset()]
            if not batches:
                raise _empty()
            whole = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
            structure = x if specs is None else specs
            self._source = whole[0] if len(whole) == 1 else _pack(structure, whole)
        self._source = standardized(self._source, specs)
        self.num_examples = len(keras.tree.flatten(self._source)[0])
        fixed = _fixed_batch_size(specs)
        if fixed and self.num_examples % fixed:
            raise ValueError(
                f"Argument `x` must hold a multiple of {fixed} inputs, the model's fixed batch "
                f"size. Received: {self.num_examples} inputs"
            )

    def __iter__(self):
        """Yields structures of arrays."""
        if self.num_examples is None:
            batches = self._of_dataset()
            first = next(batches, None)
            if first is None:
                raise _empty()
            yield from itertools.chain([first], batches)
            return
        for i in range(0, self.num_examples, self._batch_size):
            part = slice(i, i + self._batch_size)
            yield keras.tree.map_structure(lambda array: array[part], self._source)  # noqa: B023

    def _of_dataset(self):
        source = self._source
        if isinstance(source, keras.utils.PyDataset):
            if source.num_batches is None:
                raise ValueError(
                    "Argument `x` must be a data set that ends. Received: a PyDataset whose "
                    "`num_batches` is None"
                )
            source = (self._source[i] for i in range(source.num_batches))
        for element in source:
            inputs = element
            if isinstance(element, tuple):
                inputs, _, _ = keras.utils.unpack_x_y_sample_weight(element)
            yield standardized(inputs, self._specs, of_batch=True)


def standardized(x, specs, of_batch=False):
    """Returns inputs as arrays in the structure and dtypes that a model takes.

    Args:
        x, specs: As for `Inputs`.
        of_batch: Whether `x` is one batch of a data set.

    Raises:
        ValueError: As `Inputs`.
    """
    if specs is None:
        arrays = keras.tree.map_structure(lambda one: _array(one, None, "x"), _as_leaf(x))
    else:
        names, flat = _names(specs), keras.tree.flatten(specs)
        values = _matched(x, specs, names)
        label = (lambda name: "x") if len(flat) == 1 else (lambda name: f"x[{name!r}]")
        arrays = [
            _array(value, spec, label(name), of_batch)
            for value, spec, name in zip(values, flat, names, strict=True)
        ]
        arrays = _pack(specs, arrays)
    lengths = {len(array) for array in keras.tree.flatten(arrays)}
    if len(lengths) > 1:
        raise ValueError(
            "Argument `x` must hold as many examples in every input. Received: "
            f"{sorted(lengths)} examples"
        )
    return arrays


def count_examples(x):
    """Returns how many examples `x` holds, or None where only the end of the data tells."""
    if _is_dataset(x):
        return None
    leaves = [one for one in keras.tree.flatten(x) if hasattr(one, "shape")]
    try:
        return len(leaves[0]) if leaves else len(x)
    except (TypeError, ValueError):  # no inputs: `Inputs` says what is wrong with them
        return None


def _pack(structure, arrays):
    return keras.tree.pack_sequence_as(keras.tree.map_structure(lambda _: 0, structure), arrays)


def _names(specs):
    """Returns the names of the inputs, in the order of `keras.tree.flatten`."""
    if isinstance(specs, dict):
        return sorted(specs)
    return [spec.name for spec in keras.tree.flatten(specs)]


def _matched(x, specs, names):
    """Returns the inputs as a list, in the order of `keras.tree.flatten(specs)`."""
    count = len(names)
    if isinstance(x, dict):
        if set(x) != set(names):
            raise ValueError(
                f"Argument `x` must be a dict with the keys {sorted(names)}, the model's inputs. "
                f"Received: the keys {sorted(map(str, x))}"
            )
        return [x[name] for name in names]
    if not isinstance(specs, (list, tuple, dict)):
        wrapped = isinstance(x, (list, tuple)) and len(x) == 1
        rank = len(specs.shape)
        return [x[0] if wrapped and np.ndim(x[0]) == rank else x]
    if count == 1 and not isinstance(x, (list, tuple)):
        return [x]
    if isinstance(specs, dict) or not isinstance(x, (list, tuple)) or len(x) != count:
        kind = "dict" if isinstance(specs, dict) else "list"
        raise ValueError(
            f"Argument `x` must be a {kind} of {count} inputs, {names}, as the model has inputs. "
            f"Received: {_kind(x)}"
        )
    flat = keras.tree.flatten(specs)
    if all(isinstance(spec, keras.KerasTensor) for spec in specs):
        return list(x)
    keras.tree.assert_same_structure(keras.tree.map_structure(lambda _: 0, specs), x)
    return keras.tree.flatten(x)[: len(flat)]


def _as_leaf(x):
    """Returns `x`, a list of numbers as an array: without specs only arrays make several inputs."""
    if isinstance(x, (list, tuple)) and not any(hasattr(one, "shape") for one in x):
        return np.asarray(x)
    return x


def _array(value, spec, name, of_batch=False):
    """Returns one input as an array in the dtype that the model takes."""
    if _is_dataset(value):
        raise ValueError(
            f"Argument `{name}` must be an array here: go through a data set batch by batch. "
            f"Received: {type(value).__name__}"
        )
    if isinstance(value, (tf.RaggedTensor, tf.SparseTensor)):
        raise ValueError(
            f"Argument `{name}` must be dense; use its method to_tensor or tf.sparse.to_dense. "
            f"Received: {type(value).__name__}"
        )
    try:
        array = value.numpy() if tf.is_tensor(value) else np.asarray(value)
    except (ValueError, TypeError):
        raise ValueError(
            f"Argument `{name}` must be an array of numbers or strings. Received: {_kind(value)}"
        ) from None
    if array.ndim < 1 or not len(array):
        raise ValueError(
            f"Argument `{name}` must hold at least one input, (N, ...). Received: shape "
            f"{array.shape}"
        )
    _check_shape(array, spec, name, of_batch)
    return _cast(array, spec, name)


def _check_shape(array, spec, name, of_batch):
    if spec is None:
        return
    expected = tuple(spec.shape)[1:]
    fits = array.ndim == len(expected) + 1 and all(
        wanted in (None, size) for size, wanted in zip(array.shape[1:], expected, strict=True)
    )
    if not fits:
        hint = "; batch the data set" if of_batch and array.ndim == len(expected) else ""
        sizes = ", ".join(map(str, ("N", *expected)))
        sizes += "," if not expected else ""
        raise ValueError(
            f"Argument `{name}` must have the shape ({sizes}). Received: shape {array.shape}{hint}"
        )


def _cast(array, spec, name):
    """Returns an array in the model's dtype; refuses what would change its values."""
    if array.dtype == object and not all(isinstance(v, (str, bytes)) for v in array.flat):
        raise ValueError(
            f"Argument `{name}` must be an array of numbers or strings. Received: dtype object"
        )
    is_string = array.dtype.kind in "OUS"
    floatx = tf.as_dtype(keras.config.floatx())
    kept = (
        floatx if array.dtype == np.float64 else tf.as_dtype("string" if is_string else array.dtype)
    )
    wanted = kept if spec is None else tf.as_dtype(spec.dtype)
    if is_string or wanted == tf.string:
        if not (is_string and wanted == tf.string):
            raise ValueError(
                f"Argument `{name}` must have the dtype {wanted.name}. Received: dtype "
                f"{array.dtype}"
            )
        return array
    if array.dtype.kind == "c" and not wanted.is_complex:
        raise ValueError(f"Argument `{name}` must be real. Received: dtype {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(wanted.as_numpy_dtype, copy=False)
    if wanted.is_floating or wanted.is_complex:
        if not np.isfinite(cast.astype(np.float64, copy=False) if wanted.size < 4 else cast).all():
            raise ValueError(
                f"Argument `{name}` must be finite. Received: NaN, infinite values or values "
                f"beyond the range of {wanted.name}"
            )
    elif not np.array_equal(cast, array):
        raise ValueError(
            f"Argument `{name}` must hold values that {wanted.name} can hold. Received: dtype "
            f"{array.dtype} with others"
        )
    return cast


def _fixed_batch_size(specs):
    sizes = {spec.shape[0] for spec in keras.tree.flatten(specs) if spec is not None}
    return next(iter(sizes - {None}), None)


def _is_dataset(x):
    return isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)) or hasattr(x, "__next__")


def _empty():
    return ValueError(
        "Argument `x` must hold at least one input. Received: a data set without batches"
    )


def _kind(x):
    if hasattr(x, "shape"):
        return f"{type(x).__name__} of shape {tuple(x.shape)}"
    return f"{type(x).__name__} of {len(x)}" if hasattr(x, "__len__") else repr(x)


def tensor_specs(specs):
    """Returns `tf.TensorSpec`s, named as the inputs, of KerasTensors."""
    return keras.tree.map_structure(
        lambda spec: tf.TensorSpec(tuple(spec.shape), spec.dtype, name=spec.name), specs
    )
