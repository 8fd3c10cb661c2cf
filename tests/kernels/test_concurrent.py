"""The real operations from several Python threads at once, and in graphs of unknown shapes."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
from kernel_kl_cases import DTYPES, SEARCHES, draw, value_and_gradients

from bayes_by_hypernet.kernels import custom_kernel_kl, outer_product

pytestmark = pytest.mark.usefixtures("cpp_operations")


def at_once(function, arguments, repeats=5):
    """Returns what a function makes of each argument, called from as many threads at once."""
    with concurrent.futures.ThreadPoolExecutor(len(arguments)) as pool:
        rounds = [list(pool.map(function, arguments)) for _ in range(repeats)]
    for other in rounds[1:]:
        for a, b in zip(tf.nest.flatten(rounds[0]), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
    return rounds[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernel_kl_from_many_threads(dtype):
    # Other sizes in each thread: workspaces grow and are used again.
    samples = [draw(n, m, (1025, 3), dtype, seed=n) for n, m in ((2, 1), (6, 7), (33, 40), (5, 5))]

    def call(pieces):
        return value_and_gradients(custom_kernel_kl.independent_kl, *pieces)

    together = at_once(call, samples)
    alone = [call(pieces) for pieces in samples]
    for a, b in zip(tf.nest.flatten(together), tf.nest.flatten(alone), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_variable_is_read_and_updated_by_many_threads(dtype):
    variables = [tf.Variable(tf.ones((40, 600), dtype)) for _ in range(3)]
    left, right = tf.ones((2, 40), dtype), tf.zeros((2, 600), dtype)
    settings = [tf.constant(x, dtype) for x in (0.5, 1.0, 1.0, 1e-3)]

    def step(_):
        gradient = outer_product.apply_outer_product_adam(*variables, left, right, *settings)
        return gradient, outer_product.thin_product(left, variables[0])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(step, range(12)))
    # beta_1 = 1 keeps the momentum of ones: every step takes the same from each element, whatever
    # the order, and a product is of a whole matrix between two steps.
    taken = 0.5 / (1 + 1e-3)
    values = 1 - taken * np.arange(13)
    assert np.ptp(variables[0].numpy()) == 0
    # Twelve subtractions round to some units in the last place of numbers below 6.
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(variables[0][0, 0], values[-1], rtol=tolerance, atol=tolerance)
    for gradient, product in results:
        assert np.ptp(product.numpy()) == 0 and not gradient.numpy().any()
        assert np.abs(product.numpy()[0, 0] / 40 - values).min() < 10 * tolerance


@SEARCHES
def test_nothing_is_known_of_the_shapes(n, m):
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)] * 2)
    def function(q, p):
        return custom_kernel_kl.independent_kl([q], [p])

    for width in (1, 17, 1025):
        [q], [p] = draw(n, m, (width,), np.float32)
        np.testing.assert_array_equal(function(q, p), custom_kernel_kl.independent_kl([q], [p]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be matrices"):
        function(tf.ones(3), tf.ones(3))


@pytest.mark.parametrize("m", [65_535, 10**12])
def test_more_samples_than_memory_are_refused(m):
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 65536 posterior and prior"):
        custom_kernel_kl.independent_kl_normal_prior([tf.ones((2, 3))], [[1, 2]], m, 1.0)


@SEARCHES
def test_squares_that_overflow_give_no_number(n, m):
    q, p = draw(n, m, (3,), np.float32)
    assert not np.isfinite(custom_kernel_kl.independent_kl([q[0] * np.float32(1e25)], p))
