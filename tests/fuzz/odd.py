"""Values that callers pass by mistake, and right values in other clothes."""

import datetime
import fractions
from typing import NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

try:
    import pandas
except ImportError:
    pandas = None


class Odd(NamedTuple):
    """A value to pass in place of a good one.

    Attributes:
        label: What it is, for the reader of a failure.
        value: The value.
        same: Whether it holds the numbers of the good one, so that the answer must be the same.
    """

    label: str
    value: object
    same: bool = False


class Frame:
    """What pandas's, xarray's and JAX's arrays have in common: a shape, and `__array__`."""

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __len__(self):
        return len(self._values)

    def __getitem__(self, index):
        raise KeyError(index)  # as pandas does: it looks for a column of that name

    def __iter__(self):
        return iter("ab")  # its columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype)


SCALARS = (
    *(None, True, False, 0, 1, -1, 2, 7, 300, 2**31, -(2**31) - 1, 2**63, 2**64, 10**30),
    *(0.0, 0.3, 0.5, 1.5, -2.0, float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324),
    *(1e-300, 1e40, 1j, "", "a", "1", "nan", "learned", "full", "über", b"1", "x" * 300),
    *(np.int8(-3), np.uint8(3), np.int64(2), np.float16(0.5), np.float32(0.25), np.float64("nan")),
    *(np.bool_(True), np.str_("b"), np.datetime64("2020-01-01"), np.complex64(1j)),
    *(fractions.Fraction(1, 3), datetime.date(2020, 1, 1), np.array(3), np.array(0.5), object()),
    *((), [], {}, set(), [1], [0.5, 0.5], (1, 2, 3), [[1], [2, 3]], [None], ["a"], {"a": 1}, int),
    *(lambda *args: None, slice(2), range(3), [float("nan")], [10**400], [True, False]),
)


# Arrays of other kinds, made when they are drawn: some can be read once only.
THINGS = {
    "no array": lambda: np.zeros((0,)),
    "no rows": lambda: np.zeros((0, 3)),
    "no columns": lambda: np.zeros((4, 0)),
    "strings": lambda: np.array([["0.5", "0.5"]]),
    "bytes": lambda: np.array([b"0"]),
    "objects": lambda: np.array([[0.5, "0.5"]], object),
    "dates": lambda: np.array(["2020-01-01"], "datetime64[D]"),
    "complex": lambda: np.array([[0.5 + 1j, 0.5]]),
    "records": lambda: np.array([(0.5, 1)], [("a", float), ("b", int)]),
    "huge integers": lambda: np.array([2**63 - 1, 0]),
    "masked": lambda: np.ma.masked_array([[0.5, 0.5]], [[True, False]]),
    "sparse": lambda: tf.sparse.from_dense([[0.5, 0.5]]),
    "ragged": lambda: tf.ragged.constant([[0.5, 0.5], [1.0]]),
    "scipy": lambda: scipy.sparse.csr_matrix(np.eye(2)),
    "tensor": lambda: tf.constant([[0.5, 0.5]]),
    "tensor of strings": lambda: tf.constant(["a", "b"]),
    "scalar tensor": lambda: tf.constant(3),
    "variable": lambda: tf.Variable([0.5, 0.5]),
    "frame": lambda: Frame(np.array([[0.5, 0.5]])),
    "generator": lambda: (i for i in range(2)),
    "data set": lambda: tf.data.Dataset.from_tensor_slices(np.ones((4, 2), np.float32)),
}
SPECIAL = (float("nan"), float("inf"), -float("inf"), 5e-324, 1e-310, 1e308, -1e308, -1.0, 1e39)


def clothes(good):
    """Returns `Odd`s that hold the numbers of `good`, which every function must take."""
    if isinstance(good, bool) or good is None or isinstance(good, str):
        return []
    if isinstance(good, int):
        kinds = (np.int64, np.int32, *([np.uint8] if 0 <= good < 256 else []))
        return [Odd(kind.__name__, kind(good), True) for kind in kinds]
    if isinstance(good, float):
        kinds = (np.float64, np.float32, np.float16)
        return [Odd(kind.__name__, kind(good), True) for kind in kinds if kind(good) == good]
    if not isinstance(good, np.ndarray) or good.dtype.kind not in "fib":
        return []
    values = {
        "list": good.tolist(),
        "tuple": tuple(good.tolist()),
        "tensor": tf.constant(good),
        "frame": Frame(good),
        "not contiguous": np.repeat(good, 2, axis=-1)[..., ::2],
        "Fortran order": np.asfortranarray(good),
    }
    if pandas is not None and good.ndim == 1:
        values["pandas"] = pandas.Series(good, index=range(5, 5 + len(good)))
    if pandas is not None and good.ndim == 2:
        values["pandas"] = pandas.DataFrame(good).add_prefix("column ")
    if good.dtype.kind != "b":
        dtypes = ["int8", "uint8", "int32", "float16", "float32", "float64", "bfloat16"]
        for dtype in dtypes[:3] if good.dtype.kind == "i" else dtypes[3:]:
            cast = tf.constant(good).numpy().astype(tf.as_dtype(dtype).as_numpy_dtype)
            if np.array_equal(cast.astype(good.dtype), good):
                values[dtype] = cast
    return [Odd(label, value, True) for label, value in values.items()]


@st.composite
def _changed(draw, good):
    """An array in which one number is another one, or the axes are others."""
    how = draw(st.sampled_from(("number", "rank", "rows", "dtype", "sign")))
    array = good.copy()
    if how == "number":
        special = draw(st.sampled_from(SPECIAL) | st.floats())
        array = array.astype(np.float64)
        if array.size:
            array.flat[draw(st.integers(0, array.size - 1))] = special
    elif how == "rank":
        array = draw(st.sampled_from((array[..., None], array[None], array.ravel(), array[:1])))
    elif how == "rows":
        array = draw(st.sampled_from((array[:0], array[:-1], np.concatenate([array, array]))))
    elif how == "dtype":
        dtype = draw(st.sampled_from((bool, np.uint8, np.float16, object, "U8", np.complex64)))
        array = array.astype(dtype)
    else:
        array = -array.astype(np.float64)
    return Odd(f"changed {how}", array)


def _random_arrays():
    shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
    dtypes = st.sampled_from((np.float64, np.float32, np.float16, np.int64, np.uint8, bool))
    return dtypes.flatmap(lambda dtype: arrays.arrays(dtype, shapes)).map(
        lambda array: Odd(f"random {array.dtype}", array)
    )


def odd_values(good):
    """Strategy of `Odd`s in place of an argument that has the value `good`."""
    strategies = [
        st.sampled_from(range(len(SCALARS))).map(lambda i: Odd(f"scalar {i}", SCALARS[i])),
        st.sampled_from(tuple(THINGS)).map(lambda name: Odd(name, THINGS[name]())),
    ]
    if dressed := clothes(good):
        strategies.append(st.sampled_from(range(len(dressed))).map(dressed.__getitem__))
    if isinstance(good, np.ndarray) and good.dtype.kind in "fib":
        strategies += [_changed(good), _random_arrays()]
    if isinstance(good, int) and not isinstance(good, bool):
        strategies.append(st.integers(-3, 12).map(lambda i: Odd("integer", i)))
    if isinstance(good, float):
        strategies.append(st.floats().map(lambda x: Odd("float", x)))
    return st.one_of(strategies)
