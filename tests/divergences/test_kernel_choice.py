"""Which implementation of Eq. 2 is used: by argument, environment, XLA and accelerators."""

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.divergences import (
    nearest_neighbor,
    nearest_neighbor_kl,
    nearest_neighbor_kl_to_prior,
)
from bayes_by_hypernet.kernels import library
from bayes_by_hypernet.priors import NormalPrior

KEY = tf.constant([1, 2], tf.int32)


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def devices(monkeypatch):
    """The kinds of accelerators that there are: none until a test adds some."""
    kinds = set()
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [f"{kind}:0"] if kind in kinds else []
    )
    return kinds


@pytest.fixture
def used(devices, monkeypatch):
    """Which form of the estimate every call to come runs, in order."""
    names = []
    monkeypatch.delenv(library.ENVIRONMENT_VARIABLE, raising=False)

    def watch(module, function, name):
        original = getattr(module, function)

        def watched(*args):
            names.append(name)
            return original(*args)

        monkeypatch.setattr(module, function, watched)

    watch(nearest_neighbor.custom_kernel_kl, "independent_kl", "custom_op")
    watch(
        nearest_neighbor.custom_kernel_kl, "independent_kl_normal_prior", "custom_op, drawn inside"
    )
    watch(nearest_neighbor.tensorflow_kernel_kl, "independent_kl", "tensorflow")
    watch(nearest_neighbor.tensorflow_kernel_kl, "full_kl", "full")
    return names


@pytest.fixture
def no_library(monkeypatch):
    missing = library.Status(False, "There is no compiler.", tf.__version__)
    monkeypatch.setattr(library, "_found", (None, missing))


class TestChoice:
    Q, P = normal((5, 20)), normal((5, 20), seed=1)

    @pytest.mark.parametrize(
        "environment, implementation, expected",
        [
            (None, "auto", "custom_op"),
            ("auto", "auto", "custom_op"),
            ("custom_op", "auto", "custom_op"),
            ("tensorflow", "auto", "tensorflow"),
            (None, "custom_op", "custom_op"),
            (None, "tensorflow", "tensorflow"),
            ("custom_op", "tensorflow", "tensorflow"),
        ],
    )
    def test_argument_comes_before_environment(
        self, environment, implementation, expected, used, monkeypatch, cpp_operations
    ):
        if environment:
            monkeypatch.setenv("BBH_CPP_OPS", environment)
        nearest_neighbor_kl(self.Q, self.P, implementation=implementation)
        nearest_neighbor_kl_to_prior([self.Q], NormalPrior(), KEY, implementation=implementation)
        drawn = "custom_op, drawn inside" if expected == "custom_op" else expected
        assert used == [expected, drawn]

    @pytest.mark.parametrize("kind", ["GPU", "TPU"])
    def test_auto_leaves_accelerators_to_tensorflow(
        self, kind, used, devices, monkeypatch, cpp_operations
    ):
        devices.add(kind)
        nearest_neighbor_kl(self.Q, self.P)
        nearest_neighbor_kl_to_prior([self.Q], NormalPrior(), KEY)
        monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        nearest_neighbor_kl(self.Q, self.P)
        monkeypatch.delenv("BBH_CPP_OPS")
        nearest_neighbor_kl(self.Q, self.P, implementation="custom_op")
        assert used == ["tensorflow", "tensorflow", "custom_op", "custom_op"]

    def test_without_a_library(self, used, no_library, monkeypatch):
        nearest_neighbor_kl(self.Q, self.P)
        assert used == ["tensorflow"]
        with pytest.raises(RuntimeError, match="implementation='custom_op'.*is no compiler"):
            nearest_neighbor_kl(self.Q, self.P, implementation="custom_op")
        monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        with pytest.raises(RuntimeError, match="BBH_CPP_OPS=custom_op.*is no compiler"):
            nearest_neighbor_kl(self.Q, self.P)
        assert used == ["tensorflow"]

    def test_full_has_no_custom_op(self, used, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        nearest_neighbor_kl(self.Q, self.P, "full")
        nearest_neighbor_kl_to_prior([self.Q], NormalPrior(), KEY, "full")
        assert used == ["full", "full"]
        for call in (
            lambda: nearest_neighbor_kl(self.Q, self.P, "full", "custom_op"),
            lambda: nearest_neighbor_kl_to_prior([self.Q], NormalPrior(), KEY, "full", "custom_op"),
        ):
            with pytest.raises(ValueError, match="`implementation` must be 'auto' or 'tensorflow'"):
                call()

    def test_contradiction_and_unknown_value(self, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "tensorflow")
        with pytest.raises(RuntimeError, match="BBH_CPP_OPS=tensorflow wants none"):
            nearest_neighbor_kl(self.Q, self.P, implementation="custom_op")
        monkeypatch.setenv("BBH_CPP_OPS", "gpu")
        with pytest.raises(ValueError, match="must be one of auto, custom_op, tensorflow.*'gpu'"):
            nearest_neighbor_kl(self.Q, self.P)

    def test_xla_compiles_tensorflows_form(self, used, cpp_operations):
        def value_and_gradient(q, p):
            with tf.GradientTape() as tape:
                tape.watch(q)
                kl = nearest_neighbor_kl(q, p)
            return kl, tape.gradient(kl, q)

        inner = tf.function(value_and_gradient)
        arguments = tf.constant(self.Q), tf.constant(self.P)
        eager = value_and_gradient(*arguments)
        for function in (value_and_gradient, lambda q, p: inner(q, p)):
            used.clear()
            compiled = tf.function(function, jit_compile=True)(*arguments)
            assert used == ["tensorflow"]
            for a, b in zip(compiled, eager, strict=True):
                # float32 in another order; gradients are sums of 1 / (5 distance), distances
                # down to 1e-3.
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("by", ["environment", "argument"])
    def test_xla_refuses_a_custom_op_that_was_asked_for(
        self, by, used, monkeypatch, cpp_operations
    ):
        if by == "environment":
            monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        implementation = "custom_op" if by == "argument" else "auto"
        function = tf.function(
            lambda q, p: nearest_neighbor_kl(q, p, implementation=implementation), jit_compile=True
        )
        message = "unsupported operations.*BayesByHypernet>IndependentKl"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            function(self.Q, self.P)

    @pytest.mark.parametrize("n, m", [(5, 5), (40, 30)])
    @pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
    def test_implementations_agree(self, n, m, dtype, cpp_operations):
        shapes = [(3, 4), (), (70,)]
        q = [tf.cast(normal((n, *shape), seed=i), dtype) for i, shape in enumerate(shapes)]
        p = [tf.cast(normal((m, *shape), seed=9 + i), dtype) for i, shape in enumerate(shapes)]
        results = []
        for implementation in ("custom_op", "tensorflow"):
            with tf.GradientTape() as tape:
                tape.watch([q, p])
                kl = nearest_neighbor_kl(q, p, implementation=implementation)
            results.append([kl, *tf.nest.flatten(tape.gradient(kl, [q, p]))])
        # Sums of 83 logarithms in float32, at least, in another order; gradients as the inputs.
        np.testing.assert_allclose(*(r[0] for r in results), rtol=1e-5, atol=1e-5)
        rtol = {tf.float16: 1e-3, tf.bfloat16: 1e-2}.get(dtype, 1e-4)
        for a, b in zip(*(r[1:] for r in results), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype == dtype
            a, b = (tf.cast(x, tf.float64).numpy() for x in (a, b))
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())
