"""The numerics of every instruction set that this processor has, called without TensorFlow's ops.

The library chooses the best one: the tests of its operations see no other.
"""

import ctypes
import platform
import shlex
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.kernels import build, entropy, kernel_kl, library

EXPORTS = """
#include "simd.h"
using namespace bbh;
#define BBH_EXPORT(T)                                                                 \\
  double kernel_kl_##T(const KernelKlTile<T>* a) { return BBH_ISA::kernel_kl(*a); }   \\
  double entropy_##T(const EntropyTile<T>* a) { return BBH_ISA::entropy_kl(*a); }     \\
  void adam_##T(const OuterProductAdam<T>* a) { BBH_ISA::outer_product_adam(*a); }    \\
  void product_##T(const ThinProduct<T>* a) { BBH_ISA::thin_product(*a); }
extern "C" {
BBH_EXPORT(float)
BBH_EXPORT(double)
}
"""
NAMES = {np.float32: "float", np.float64: "double"}
DTYPES = pytest.mark.parametrize("dtype", NAMES)
SIZE, POINTER = ctypes.c_int64, ctypes.c_void_p


class Stream(ctypes.Structure):
    """`NormalStream` of simd.h."""

    _fields_ = [
        ("key", 2 * ctypes.c_uint32),
        ("counter", 2 * ctypes.c_uint32),
        ("stddev", ctypes.c_float),
    ]


class Tile(ctypes.Structure):
    """`KernelKlTile` of simd.h."""

    _fields_ = [
        *((name, SIZE) for name in ("n", "m", "width", "stride")),
        *((name, POINTER) for name in ("posterior", "prior")),
        ("stream", Stream),
        ("first", SIZE),
        *((name, POINTER) for name in ("posterior_gradient", "prior_gradient")),
    ]


def entropy_arguments(scalar):
    """`EntropyTile` of simd.h for numbers of this type."""

    class Tile(ctypes.Structure):
        _fields_ = [
            *((name, SIZE) for name in ("n", "width", "stride")),
            ("prior_precision", scalar),
            *((name, POINTER) for name in ("samples", "gradient")),
        ]

    return Tile


class Product(ctypes.Structure):
    """`ThinProduct` of simd.h."""

    _fields_ = [
        *((name, SIZE) for name in ("rank", "rows", "columns", "first_column", "last_column")),
        *((name, POINTER) for name in ("left", "matrix", "product")),
    ]


def adam_arguments(scalar):
    """`OuterProductAdam` of simd.h for numbers of this type."""

    class Adam(ctypes.Structure):
        _fields_ = [
            *((name, SIZE) for name in ("rank", "rows", "columns", "first_row", "last_row")),
            *((name, POINTER) for name in ("matrix", "momentum", "velocity")),
            *((name, POINTER) for name in ("left", "right", "left_gradient")),
            *((name, scalar) for name in ("alpha", "beta_1", "beta_2", "epsilon")),
        ]

    return Adam


@pytest.fixture(scope="module", params=list(build.INSTRUCTION_SETS))
def numerics(request, tmp_path_factory, cpp_operations):
    """The numerics compiled for one instruction set."""
    names = list(build.INSTRUCTION_SETS)
    if names.index(request.param) > names.index(library.instruction_set()):
        pytest.skip(f"this processor has no {request.param}")
    compiler = build.find_compiler()
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "exports.cc").write_text(EXPORTS)
    target = folder / "numerics.so"
    flags = [*build.FLAGS, f"-DBBH_ISA={request.param}", *build.INSTRUCTION_SETS[request.param]]
    flags += ["-DBBH_X86"] if platform.machine() == "x86_64" else []
    sources = [folder / "exports.cc", *build.SOURCE_DIRECTORY.glob("*_simd.cc")]
    command = [*shlex.split(compiler), *flags, f"-I{build.SOURCE_DIRECTORY}", "-shared", *sources]
    subprocess.run([*command, "-o", target], check=True)
    module = ctypes.CDLL(str(target))
    for name in NAMES.values():
        for function in ("kernel_kl", "entropy"):
            getattr(module, f"{function}_{name}").restype = ctypes.c_double
    return module


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def pointer(array):
    return array.ctypes.data


@pytest.mark.slow
class TestNumerics:
    @DTYPES
    @pytest.mark.parametrize("grid", [None, 0.25])
    @pytest.mark.parametrize("n, m", [(2, 1), (5, 5), (40, 30)])
    def test_kernel_kl_equals_the_twin(self, numerics, n, m, grid, dtype):
        q, p = normal((n, 43), dtype, 1), normal((m, 43), dtype, 2)
        if grid:  # ties
            q, p = (np.round(x / dtype(grid)) * dtype(grid) for x in (q, p))
        grad_q, grad_p = np.full_like(q, np.nan), np.full_like(p, np.nan)
        # All but the first and the last of the weights, which stay as they are.
        inner = [pointer(array[:, 1:]) for array in (q, p, grad_q, grad_p)]
        tile = Tile(n, m, 41, 43, *inner[:2], Stream(), 1, *inner[2:])
        total = getattr(numerics, f"kernel_kl_{NAMES[dtype]}")(ctypes.byref(tile))
        tensors = [tf.constant(x[:, 1:-1]) for x in (q, p)]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            kl = kernel_kl.independent_kl(*tensors)
        eps = np.finfo(dtype).eps
        # As in test_custom_kernel_kl: a few units in the last place for each weight, and of the
        # largest of the terms 1 / (n distance) of the gradients, here below 1000.
        expected = n * (float(kl) - 41 * np.log(m / (n - 1)))
        np.testing.assert_allclose(total, expected, rtol=1e4 * eps, atol=8 * eps * n * 41)
        for ours, theirs in zip((grad_q, grad_p), tape.gradient(kl, tensors), strict=True):
            np.testing.assert_allclose(ours[:, 1:-1], theirs, rtol=1e-5, atol=5e3 * eps)
            assert np.isnan(ours[:, [0, -1]]).all()

    @DTYPES
    @pytest.mark.parametrize("grid", [None, 0.25])
    @pytest.mark.parametrize("n", [2, 5, 40])
    def test_entropy_equals_the_twin(self, numerics, n, grid, dtype):
        q = normal((n, 43), dtype, 1)
        if grid:  # ties
            q = np.round(q / dtype(grid)) * dtype(grid)
        gradient = np.full_like(q, np.nan)
        # All but the first and the last of the weights, which stay as they are.
        arrays = [pointer(array[:, 1:]) for array in (q, gradient)]
        scalar = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}[dtype]
        tile = entropy_arguments(scalar)(n, 41, 43, 4.0, *arrays)
        total = getattr(numerics, f"entropy_{NAMES[dtype]}")(ctypes.byref(tile))
        samples = tf.constant(q[:, 1:-1])
        with tf.GradientTape() as tape:
            tape.watch(samples)
            kl = entropy.negative_entropy(samples) + 2 * tf.reduce_sum(samples**2) / n
        eps = np.finfo(dtype).eps
        expected = n * (float(kl) + 41 * entropy.entropy_offset(n))
        np.testing.assert_allclose(total, expected, rtol=1e4 * eps, atol=8 * eps * n * 41)
        theirs = tape.gradient(kl, samples).numpy()
        # The terms 1 / (n distance) of the gradient, here below 1000.
        np.testing.assert_allclose(gradient[:, 1:-1], theirs, rtol=1e-4, atol=5e3 * eps)
        assert np.isnan(gradient[:, [0, -1]]).all()

    @DTYPES
    @pytest.mark.parametrize("n, m", [(5, 5), (40, 30)])
    def test_nan_is_not_lost(self, numerics, n, m, dtype):
        for place in (0, 42):
            q, p = normal((n, 43), dtype, 1), normal((m, 43), dtype, 2)
            p[0, place] = np.nan
            grad_q, grad_p = np.zeros_like(q), np.zeros_like(p)
            arrays = [pointer(x) for x in (q, p, grad_q, grad_p)]
            tile = Tile(n, m, 43, 43, *arrays[:2], Stream(), 0, *arrays[2:])
            assert np.isnan(getattr(numerics, f"kernel_kl_{NAMES[dtype]}")(ctypes.byref(tile)))

    def test_draws_are_normal(self, numerics):
        # The stream is checked where TensorFlow's seeds are; the same in all instruction sets.
        width = 100_003
        stream = Stream((3, 4), (5, 6), 2.0)
        q, grad_q = np.zeros((2, width)), np.zeros((2, width))
        q[1] = 1e6  # its gradient is of the order of 1e-6
        tile = Tile(2, 1, width, width, pointer(q), None, stream, 0, pointer(grad_q), None)
        numerics.kernel_kl_double(ctypes.byref(tile))
        draws = -1 / (2 * grad_q[0][np.abs(grad_q[0]) < 100])
        # Four standard errors of the mean and of the standard deviation.
        assert abs(draws.mean()) < 4 * 2 / np.sqrt(width)
        assert abs(draws.std() - 2) < 4 * 2 / np.sqrt(2 * width) + 1e-3  # without those near 0
        assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 4 / np.sqrt(width)

    @DTYPES
    @pytest.mark.parametrize("rank", [1, 5, 17])
    def test_product(self, numerics, rank, dtype):
        rows, columns = 13, 4131
        left, matrix = normal((rank, rows), dtype, 1), normal((rows, columns), dtype, 2)
        product = np.full((rank, columns), np.nan, dtype)
        arrays = map(pointer, (left, matrix, product))
        arguments = Product(rank, rows, columns, 4096, columns, *arrays)
        getattr(numerics, f"product_{NAMES[dtype]}")(ctypes.byref(arguments))
        expected = left.astype(np.float64) @ matrix[:, 4096:]
        # Sums of 13 products of order 1.
        atol = 50 * np.finfo(dtype).eps
        np.testing.assert_allclose(product[:, 4096:], expected, rtol=0, atol=atol)
        assert np.isnan(product[:, :4096]).all()

    @DTYPES
    @pytest.mark.parametrize("rank", [0, 1, 5, 17])
    def test_adam(self, numerics, rank, dtype):
        rows, columns = 5, 601
        left, right = normal((rank, rows), dtype, 1), normal((rank, columns), dtype, 2)
        start = [normal((rows, columns), dtype, seed) for seed in (3, 4, 5)]
        start[2] = 0.01 + start[2] ** 2
        start[1][0, 0] = start[2][0, 0] = 0
        w, m, v = (x.astype(np.float64) for x in start)
        scalar = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}[dtype]
        left_gradient = np.full((rank, rows), np.nan, dtype)
        arrays = map(pointer, (*start, left, right, left_gradient))
        arguments = adam_arguments(scalar)(
            rank, rows, columns, 0, rows - 1, *arrays, 0.01, 0.75, 0.875, 1e-5
        )
        before = [x.copy() for x in start]
        getattr(numerics, f"adam_{NAMES[dtype]}")(ctypes.byref(arguments))
        # Sums of up to 601 products, and of up to 17; an update is below 0.01 * 4 / 0.1.
        eps = np.finfo(dtype).eps
        expected = right.astype(np.float64) @ w.T
        np.testing.assert_allclose(left_gradient[:, :-1], expected[:, :-1], rtol=0, atol=2000 * eps)
        gradient = left.astype(np.float64).T @ right.astype(np.float64)
        m += (gradient - m) * 0.25
        v += (gradient**2 - v) * 0.125
        w -= float(scalar(0.01).value) * m / (np.sqrt(v) + float(scalar(1e-5).value))
        for ours, theirs, old in zip(start, (w, m, v), before, strict=True):
            np.testing.assert_allclose(ours[:-1], theirs[:-1], rtol=100 * eps, atol=100 * eps)
            np.testing.assert_array_equal(ours[-1], old[-1])
