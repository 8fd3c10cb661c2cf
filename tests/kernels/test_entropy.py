"""The nearest-neighbour entropy, in TensorFlow and in C++, against a slow twin in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.kernels import custom_entropy, library
from bayes_by_hypernet.kernels import entropy as ops

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# Unrolled in TensorFlow and looped, the first and the last of a sorting network, and odd ones.
COUNTS = pytest.mark.parametrize("n", [2, 3, 5, 11, 33])
# Ends of vectors (2 to 16 weights) and of tiles (1024), and nothing at all.
WIDTHS = (1, 3, 0, 17, 1025)


def tensorflow_form(pieces):
    return ops.negative_entropy(tf.concat(pieces, axis=1))


@pytest.fixture(params=["tensorflow", "custom_op"])
def form(request):
    """Function from a list of samples to minus their entropy."""
    if request.param == "tensorflow":
        return tensorflow_form
    if library.load() is None:
        pytest.skip(f"no C++ operations: {library.status().reason}")
    return custom_entropy.entropy_kl


def value_and_gradients(function, pieces):
    pieces = [tf.convert_to_tensor(piece) for piece in pieces]
    with tf.GradientTape() as tape:
        tape.watch(pieces)
        value = function(pieces)
    return value, tape.gradient(value, pieces)


def twin(q):
    """Value, gradient and the largest of its terms for each weight, in float64."""
    q = q.astype(np.float64)
    n, num_weights = q.shape
    relative = (ops.RELATIVE_GUARD / n) ** 2
    centred = q - q[0] - (q - q[0]).mean(axis=0)
    guard = relative * (centred**2).mean(axis=0) + ops.TINY
    value, gradient, terms = 0.0, np.zeros_like(q), np.zeros(num_weights)
    for i in range(n):
        distance = np.abs(q[i] - q)
        distance[i] = np.inf
        nearest = distance.min(axis=0)
        hits = distance == nearest
        scale = 1 / (n * (nearest**2 + guard))
        value -= 0.5 * np.log(nearest**2 + guard).sum() / n
        push = hits * (q[i] - q) * scale / hits.sum(axis=0)
        gradient += push
        gradient[i] -= push.sum(axis=0)
        gradient -= scale * relative / n * centred
        terms = np.maximum(terms, nearest * scale)
    offset = sum(1 / i for i in range(1, n)) + np.log(2)  # digamma(n) - digamma(1), unit ball
    return value - num_weights * offset, gradient, terms


def samples(n, width, kind, dtype):
    rng = np.random.default_rng(n + width)
    x = {
        "normal": lambda: rng.normal(0.3, 0.5, (n, width)),
        "grid": lambda: rng.integers(-4, 5, (n, width)) / 4,  # equal samples and equal distances
        "two": lambda: rng.integers(0, 2, (n, width)),
        "narrow": lambda: 1e-7 * rng.normal(size=(n, width)),
    }[kind]()
    return x.astype(dtype)


@DTYPES
@COUNTS
@pytest.mark.parametrize("kind", ["normal", "grid", "two", "narrow"])
def test_equals_the_twin(form, n, kind, dtype):
    pieces = [samples(n, width, kind, dtype) for width in WIDTHS]
    value, gradients = value_and_gradients(form, pieces)
    expected = [twin(piece) for piece in pieces]
    eps = np.finfo(dtype).eps
    assert value.dtype == dtype
    # A distance, its square and its logarithm round to a few units in the last place; the sum of
    # all logarithms in the form of TensorFlow is one of its precision, in pairs.
    total = sum(v for v, _, _ in expected)
    bound = 20 * eps * n * sum(WIDTHS)
    np.testing.assert_allclose(value, total, rtol=50 * eps, atol=bound)
    for ours, piece, (_, theirs, terms) in zip(gradients, pieces, expected, strict=True):
        assert ours.dtype == dtype and ours.shape == piece.shape
        # Each term is rounded, and a sum of up to 2 n of them, which may cancel. Those through the
        # guard are as large where samples are equal.
        size = terms + np.abs(theirs).max(axis=0, initial=0)
        assert (np.abs(ours - theirs) <= 30 * n * eps * size).all()


@DTYPES
@pytest.mark.parametrize("n", [2, 5, 12])
def test_identical_samples_have_a_finite_value_and_no_gradient(form, n, dtype):
    pieces = [np.full((n, 21), 0.3, dtype)]
    value, [gradient] = value_and_gradients(form, pieces)
    expected = -21 * (0.5 * np.log(ops.TINY) + ops.entropy_offset(n))
    np.testing.assert_allclose(value, expected, rtol=1e-6)  # float32
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@pytest.mark.parametrize("count", [1, 4])
def test_ties_share_the_gradient(form, count):
    q = (np.array([-1.0, 0.0, 1.0]) + 100 * np.arange(count)[:, np.newaxis]).reshape(-1, 1)
    _, [gradient] = value_and_gradients(form, [q])
    # The one in the middle pushes both others by half as much as these push it, at distance 1. Far
    # from each other, three by three; the guard changes distances by less than 1e-4.
    expected = np.tile([1.5, 0.0, -1.5], count) / (3 * count)
    np.testing.assert_allclose(gradient[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_numerical_gradient(form, n):
    q = samples(n, 3, "normal", np.float64)
    _, [gradient] = value_and_gradients(lambda pieces: 3.0 * form(pieces), [q])
    for index in [(0, 0), (1, 2), (n - 1, 1)]:
        values = []
        for step in (1e-6, -1e-6):
            q[index] += step
            values.append(3.0 * float(form([tf.constant(q)])))
            q[index] -= step
        # Central differences: an error of (1e-6 / distance)^2, relative, and of rounding.
        numerical = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(gradient[index], numerical, rtol=1e-3, atol=1e-5)


def test_does_not_depend_on_origin_or_order_and_grows_with_the_log_of_the_unit(form):
    q = samples(7, 50, "normal", np.float64)
    value = form([q])
    np.testing.assert_allclose(form([q[::-1] + 3.0]), value, rtol=1e-9)  # rounding of the sum
    np.testing.assert_allclose(form([1e-3 * q]), value - 50 * np.log(1e-3), rtol=1e-10)


@pytest.mark.parametrize("n", [5, 12])
def test_the_same_again_and_in_a_function(form, n):
    pieces = [samples(n, width, "normal", np.float32) for width in (5, 2050)]
    eager, again = value_and_gradients(form, pieces), value_and_gradients(form, pieces)
    compiled = tf.function(lambda pieces: value_and_gradients(form, pieces))(pieces)
    for a, b, c in zip(*map(tf.nest.flatten, (eager, again, compiled)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-5 * np.abs(a).max())  # fused


@pytest.mark.parametrize("n", [5, 12])
def test_under_xla_and_with_an_unknown_number_of_weights(n):
    q = samples(n, 30, "normal", np.float32)
    function = tf.function(
        lambda q: value_and_gradients(tensorflow_form, [q]),
        [tf.TensorSpec((n, None), tf.float32)],
        jit_compile=True,
    )
    eager = value_and_gradients(tensorflow_form, [q])
    for a, b in zip(*map(tf.nest.flatten, (function(q), eager)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())  # float32


class TestOperation:
    @pytest.mark.parametrize("stddev", [0.5, 2.0])
    def test_adds_the_cross_entropy_to_a_normal_prior(self, stddev, cpp_operations):
        pieces = [samples(5, width, "normal", np.float64) for width in (1, 40)]
        value, gradients = value_and_gradients(
            lambda pieces: custom_entropy.entropy_kl(pieces, stddev), pieces
        )
        bare, bare_gradients = value_and_gradients(custom_entropy.entropy_kl, pieces)
        z = np.concatenate(pieces, axis=1) / stddev
        log_prob = -0.5 * z**2 - np.log(stddev) - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(value, bare - log_prob.sum() / 5, rtol=1e-12)
        for ours, alone, q in zip(gradients, bare_gradients, pieces, strict=True):
            np.testing.assert_allclose(ours, alone + q / stddev**2 / 5, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("n", [2, 20])
    def test_what_is_not_finite_is_not_lost(self, n, bad, cpp_operations):
        for sample, weight in ((0, 0), (n - 1, 36), (n // 2, 5)):
            q = samples(n, 37, "normal", np.float32)
            q[sample, weight] = bad
            assert not np.isfinite(custom_entropy.entropy_kl([q]))

    def test_second_derivative_is_refused(self, cpp_operations):
        q = tf.constant(samples(4, 6, "normal", np.float32))
        with tf.GradientTape() as outer:
            outer.watch(q)
            gradient = value_and_gradients(custom_entropy.entropy_kl, [q])[1]
        with pytest.raises(NotImplementedError, match="implementation='tensorflow'"):
            outer.gradient(gradient, q)

    @pytest.mark.parametrize(
        "shapes, message",
        [
            ([(1, 4)], "at least 2 samples, and at most 65536, got 1"),
            ([(65537, 0)], "got 65537"),
            ([(3,)], r"samples must be matrices, got \[3\]"),
            ([(3, 4), (2, 4)], r"must be \(3, num_weights\), got \[2,4\]"),
            ([(3, 4), (3, 4, 1)], r"must be \(3, num_weights\), got \[3,4,1\]"),
        ],
    )
    def test_refuses_shapes(self, shapes, message, cpp_operations):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            custom_entropy.entropy_kl([tf.ones(shape) for shape in shapes])
