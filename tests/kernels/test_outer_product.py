"""Products with a hypernetwork's output matrix, and Adam on it, against NumPy and Keras."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.kernels import outer_product as ops

pytestmark = pytest.mark.usefixtures("cpp_operations")

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# Eight rows of the factors are handled at a time, eight rows of the matrix are a thread's work.
RANKS = (*range(1, 10), 17)
ROWS = (1, 3, 8, 13)
# Ends of vectors (2 to 16 columns), of Adam's tiles (256) and of the product's (4096).
COLUMNS = (1, 15, 16, 17, 255, 257, 5000)
RATE, BETA_1, BETA_2, EPSILON = 0.01, 0.9, 0.999, 1e-7


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def recorded(num_steps, rank, rows, columns, dtype):
    """Factors of each step; rows 0 and 2 of the matrix have no gradient, 2 has some at step 5."""
    steps = []
    for step in range(num_steps):
        left, right = (
            normal((rank, k), dtype, 2 * step + i) for i, k in enumerate((rows, columns))
        )
        left[:, 0] = 0
        left[:, 2:3] *= step == 5
        steps.append((left, right))
    return steps


def alpha(step):
    return RATE * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)


def variables(rows, columns, dtype):
    matrix = tf.Variable(normal((rows, columns), dtype, 99))
    return matrix, *(tf.Variable(tf.zeros_like(matrix)) for _ in range(2))


def apply(variables, left, right, step):
    """One step of the operation; returns the gradient for `left`."""
    dtype = variables[0].dtype
    settings = [tf.constant(x, dtype) for x in (alpha(step), BETA_1, BETA_2, EPSILON)]
    return ops.apply_outer_product_adam(*variables, left, right, *settings)


def numpy_adam(w, m, v, gradient, step):
    """One step in float64 (Kingma and Ba 2015, the efficient form), in place."""
    m += (gradient - m) * (1 - BETA_1)
    v += (gradient**2 - v) * (1 - BETA_2)
    w -= alpha(step) * m / (np.sqrt(v) + EPSILON)


def assert_sums_of_products_agree(ours, a, b):
    """`ours == a @ b` to the rounding of each product and of their sum in any order."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    tolerance = (a.shape[1] + 1) * np.finfo(ours.dtype).eps * (np.abs(a) @ np.abs(b))
    assert ours.shape == tolerance.shape
    assert (np.abs(ours - a @ b) <= tolerance).all()


class TestThinProduct:
    @DTYPES
    @pytest.mark.parametrize("rank", RANKS)
    def test_equals_matmul(self, rank, dtype):
        for rows in ROWS:
            for columns in COLUMNS:
                left, matrix = normal((rank, rows), dtype), normal((rows, columns), dtype, 1)
                product = ops.thin_product(left, tf.Variable(matrix)).numpy()
                assert_sums_of_products_agree(product, left, matrix)

    def test_knows_its_shape(self):
        variable = tf.Variable(normal((8, 257), np.float32))
        left = normal((5, 8), np.float32)

        @tf.function(input_signature=[tf.TensorSpec((None, 8))])
        def function(left):
            product = ops.thin_product(left, variable)
            assert product.shape.as_list() == [None, 257]
            return product

        np.testing.assert_array_equal(function(left), ops.thin_product(left, variable))

    def test_nan_and_infinity_are_not_lost(self):
        left = tf.constant([[0.0, np.inf], [np.nan, 1.0]])
        product = ops.thin_product(left, tf.Variable(tf.ones((2, 300)))).numpy()
        assert np.isinf(product[0]).all() and np.isnan(product[1]).all()


class TestAdam:
    @DTYPES
    @pytest.mark.parametrize("rank", RANKS)
    def test_a_step_equals_the_numpy_twin(self, rank, dtype):
        for rows in ROWS:
            for columns in COLUMNS:
                # Moments as a run has them: of either sign, and positive.
                start = [normal((rows, columns), dtype, seed) for seed in (1, 2, 3)]
                start[2] = 0.01 + start[2] ** 2
                left, right = normal((rank, rows), dtype, 4), normal((rank, columns), dtype, 5)
                ours = [tf.Variable(x) for x in start]
                left_gradient = apply(ours, left, right, 7).numpy()
                assert_sums_of_products_agree(left_gradient, right, start[0].T)
                twin = [x.astype(np.float64) for x in start]
                numpy_adam(*twin, left.astype(np.float64).T @ right.astype(np.float64), 7)
                for a, b in zip(ours, twin, strict=True):
                    # Some units in the last place of a gradient of order rank, which cancels; the
                    # velocity holds a thousandth of its square.
                    tolerance = 20 * rank * np.finfo(dtype).eps
                    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    @DTYPES
    def test_twenty_steps_equal_the_numpy_twin(self, dtype):
        ours = variables(13, 257, dtype)
        twin = [x.numpy().astype(np.float64) for x in ours]
        start = twin[0].copy()
        for step, (left, right) in enumerate(recorded(20, 5, 13, 257, dtype), 1):
            before = ours[0].numpy()
            left_gradient = apply(ours, left, right, step).numpy()
            assert_sums_of_products_agree(left_gradient, right, before.T)
            numpy_adam(*twin, left.astype(np.float64).T @ right.astype(np.float64), step)
        # A gradient of 5 terms that cancel to a thousandth has lost three digits, and the first
        # step moves by the rate times its sign, whatever its size: 0.01 * 1000 rounding errors.
        # Besides, 20 sums of weights of up to 4.
        atol = 80 * np.finfo(dtype).eps
        for a, b in zip(ours, twin, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=atol)
        # Never a gradient: not a bit changes; a velocity of zero divides nothing.
        np.testing.assert_array_equal(ours[0][0], start[0])
        assert not np.any(ours[1][0]) and not np.any(ours[2][0])
        assert np.any(ours[2][2])

    def test_twenty_steps_equal_keras(self):
        ours, steps = variables(13, 257, np.float32), recorded(20, 5, 13, 257, np.float32)
        theirs = keras.Variable(ours[0].numpy())
        adam = keras.optimizers.Adam(RATE, BETA_1, BETA_2, EPSILON)
        for step, (left, right) in enumerate(steps, 1):
            apply(ours, left, right, step)
            adam.apply([tf.matmul(left, right, transpose_a=True)], [theirs])
        # float32; as above, since Keras sums the gradient in another order.
        np.testing.assert_allclose(ours[0], theirs.numpy(), rtol=0, atol=1e-5)

    def test_no_rows_are_a_gradient_of_zero(self):
        matrix, momentum, velocity = variables(3, 40, np.float32)
        momentum.assign(tf.ones_like(momentum))
        velocity.assign(tf.ones_like(velocity))
        apply((matrix, momentum, velocity), np.zeros((0, 3)), np.zeros((0, 40)), 1)
        np.testing.assert_allclose(momentum, np.full((3, 40), BETA_1), rtol=1e-6)  # float32
        np.testing.assert_allclose(velocity, np.full((3, 40), BETA_2), rtol=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_nan_and_infinity_are_not_lost(self, bad):
        ours = variables(3, 300, np.float32)
        left, right = normal((5, 3), np.float32), normal((5, 300), np.float32)
        right[1, 290] = bad
        left_gradient = apply(ours, left, right, 1)
        assert not np.isfinite(ours[0].numpy()[:, 290]).any()
        assert np.isfinite(ours[0].numpy()[:, :290]).all()
        assert not np.isfinite(left_gradient.numpy()[1]).any()

    def test_a_velocity_of_nan_is_not_lost(self):
        # Its root is an estimate that NaN could slip through; in the middle and in the tail.
        ours = variables(1, 301, np.float32)
        ours[2].scatter_nd_update([[0, 3], [0, 300]], [np.nan, np.nan])
        apply(ours, np.ones((2, 1)), np.ones((2, 301)), 1)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(ours[0].numpy())), [3, 300])


class TestReaders:
    """A tensor read before an update shares the variable's memory, and keeps its values."""

    def test_eager(self):
        ours = variables(8, 300, np.float32)
        reads, before = [x.read_value() for x in ours], [x.numpy().copy() for x in ours]
        apply(ours, *recorded(1, 5, 8, 300, np.float32)[0], 1)
        for read, old, variable in zip(reads, before, ours, strict=True):
            np.testing.assert_array_equal(read, old)
            assert np.any(variable.numpy() != old)

    def test_in_a_function(self):
        ours, plain = variables(8, 300, np.float32), variables(8, 300, np.float32)
        left, right = recorded(1, 5, 8, 300, np.float32)[0]
        before = [x.numpy().copy() for x in ours]

        @tf.function
        def function():
            reads, product = [x.read_value() for x in ours], ops.thin_product(left, ours[0])
            left_gradient = apply(ours, left, right, 1)
            # What is read after the update is new, though nothing else orders the two.
            return reads, product, left_gradient, ops.thin_product(left, ours[0])

        reads, product, left_gradient, later = function()
        for read, old in zip(reads, before, strict=True):
            np.testing.assert_array_equal(read, old)
        np.testing.assert_array_equal(product, ops.thin_product(left, plain[0]))
        np.testing.assert_array_equal(left_gradient, apply(plain, left, right, 1))
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(later, ops.thin_product(left, plain[0]))

    def test_an_update_without_readers_is_in_place(self):
        ours = variables(8, 300, np.float32)
        factors = recorded(1, 5, 8, 300, np.float32)[0]

        def addresses():
            return [np.asarray(memoryview(x.read_value())).ctypes.data for x in ours]

        apply(ours, *factors, 1)  # leaves the array of NumPy's that the variable was made from
        before = addresses()
        apply(ours, *factors, 2)
        assert addresses() == before
        read = ours[0].read_value()
        apply(ours, *factors, 3)
        assert addresses()[0] != before[0] and addresses()[1:] == before[1:]
        del read


class TestFailure:
    LEFT, RIGHT = np.ones((5, 3), np.float32), np.ones((5, 40), np.float32)

    @pytest.mark.parametrize(
        "left, right",
        [
            ((5, 4), (5, 40)),
            ((5, 3), (5, 41)),
            ((5, 3), (4, 40)),
            ((5, 3), (200,)),
            ((3, 5), (5, 40)),
        ],
    )
    def test_factors_that_do_not_fit(self, left, right):
        ours = variables(3, 40, np.float32)
        before = [x.numpy().copy() for x in ours]
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"are no factors of \(3, 40\)"):
            apply(ours, np.ones(left), np.ones(right), 1)
        for variable, old in zip(ours, before, strict=True):
            np.testing.assert_array_equal(variable, old)

    @pytest.mark.parametrize("shape", [(5, 4), (3,)])
    def test_left_does_not_multiply(self, shape):
        with pytest.raises(tf.errors.InvalidArgumentError, match="does not multiply the matrix"):
            ops.thin_product(np.ones(shape, np.float32), variables(3, 40, np.float32)[0])

    @pytest.mark.parametrize("index", [1, 2])
    def test_moments_of_another_shape(self, index):
        ours = list(variables(3, 40, np.float32))
        ours[index] = tf.Variable(tf.zeros((40, 3)))
        with pytest.raises(tf.errors.InvalidArgumentError, match="must agree in shape"):
            apply(ours, self.LEFT, self.RIGHT, 1)

    @pytest.mark.parametrize("index", [0, 1, 2])
    @pytest.mark.parametrize("other", [tf.zeros((3, 40), tf.float64), tf.zeros((120,))])
    def test_variables_of_another_kind(self, index, other):
        ours = list(variables(3, 40, np.float32))
        ours[index] = tf.Variable(other)
        settings = [tf.constant(0.1)] * 4
        message = "must be an initialised matrix of float"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            ops.apply_outer_product_adam(*ours, self.LEFT, self.RIGHT, *settings)

    def test_one_variable_twice(self):
        matrix, momentum, _ = variables(3, 40, np.float32)
        with pytest.raises(tf.errors.InvalidArgumentError, match="must differ"):
            apply((matrix, momentum, momentum), self.LEFT, self.RIGHT, 1)

    @pytest.mark.parametrize("index", range(4))
    def test_settings_that_are_no_scalars(self, index):
        settings = [tf.constant(0.1)] * 4
        settings[index] = tf.constant([0.1, 0.1])
        with pytest.raises(tf.errors.InvalidArgumentError, match="epsilon must be scalars"):
            ours = variables(3, 40, np.float32)
            ops.apply_outer_product_adam(*ours, self.LEFT, self.RIGHT, *settings)

    def test_without_a_value(self):
        # A handle as graph mode has it before its variable is initialised.
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=(3, 40), shared_name="no_value")
        empty = types.SimpleNamespace(handle=handle, device="CPU:0", shape=(3, 40))
        matrix, momentum, _ = variables(3, 40, np.float32)
        with pytest.raises(tf.errors.NotFoundError, match="no_value"):
            ops.thin_product(self.LEFT, empty)
        with pytest.raises(tf.errors.NotFoundError, match="no_value"):
            apply((matrix, momentum, empty), self.LEFT, self.RIGHT, 1)
