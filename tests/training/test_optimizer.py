"""FusedAdam against Keras's own Adam, with and without updates as the tape goes back."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import HypernetworkKernel
from bayes_by_hypernet.kernels.outer_product import MAX_RANK
from bayes_by_hypernet.training import FusedAdam

SHAPE, NUM_SAMPLES, NOISE_DIM = (3, 3, 2, 7), 5, 2


def _variables():
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape), dtype="float32") for shape in [(3, 4), (5,)]]


class TestFusedAdam:
    @pytest.mark.parametrize("how", ["apply", "apply_local"])
    def test_equals_keras_adam_on_the_same_gradients(self, how):
        rng = np.random.default_rng(1)
        ours, theirs = _variables(), _variables()
        fused, plain = FusedAdam(1e-2, epsilon=1e-5), keras.optimizers.Adam(1e-2, epsilon=1e-5)
        fused.build(ours)
        for _ in range(20):
            gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in ours]
            getattr(fused, how)(gradients, ours)
            plain.apply(gradients, theirs)
        assert int(fused.iterations.value) == 20
        for a, b in zip(ours, theirs, strict=True):
            # Rounding of 20 float32 updates of about 1e-2 each.
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)

    def test_trains_in_fit_and_survives_keras_serialisation(self):
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(FusedAdam(0.05)))
        assert isinstance(optimizer, FusedAdam)
        model.compile(optimizer, "mse")
        x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
        losses = model.fit(x, x.sum(1, keepdims=True), epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.2 * losses[0]

    def test_refuses_amsgrad(self):
        with pytest.raises(ValueError, match="`amsgrad` must be False.*Received: amsgrad=True"):
            FusedAdam(amsgrad=True)

    def test_has_the_arguments_of_keras_adam(self):
        ours, theirs = (
            {name: p.default for name, p in inspect.signature(optimizer).parameters.items()}
            for optimizer in (FusedAdam, keras.optimizers.Adam)
        )
        theirs.pop("kwargs")
        theirs["name"] = None  # Keras 3.10 has the default "adam"
        assert ours == theirs
        for name in ours:
            assert f"        {name}: " in FusedAdam.__doc__


# Each argument with a value that changes the updates of `_gradients`, of about 1 an element.
ARGUMENTS = [
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 1024.0},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "clipvalue": 0.3, "weight_decay": 0.1},
]
by_name = pytest.mark.parametrize("arguments", ARGUMENTS, ids="+".join)


def _gradients(num_steps=7):
    rng = np.random.default_rng(1)
    # Of shrinking size: Adam's updates hardly depend on a factor on all gradients.
    return [
        [tf.constant(rng.normal(size=v.shape) / (i + 1), tf.float32) for v in _variables()]
        for i in range(num_steps)
    ]


def _applied(optimizer, graph=False):
    """Returns variables and the optimiser's variables after a few steps of `apply_gradients`."""
    variables = _variables()
    optimizer.build(variables)

    def step(gradients):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    step = tf.function(step) if graph else step
    for gradients in _gradients():
        step(gradients)
    states = [v.numpy() for v in [*variables, *optimizer.variables]]
    optimizer.finalize_variable_values(variables)
    return states + [v.numpy() for v in variables]


class TestArguments:
    @by_name
    @pytest.mark.parametrize("graph", [False, True])
    def test_apply_equals_keras_adam(self, arguments, graph):
        ours = _applied(FusedAdam(1e-2, **arguments), graph)
        theirs = _applied(keras.optimizers.Adam(1e-2, **arguments))
        for a, b in zip(ours, theirs, strict=True):
            # Rounding of 7 float32 updates of about 1e-2, and of moments of at most 1.
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        if "loss_scale_factor" not in arguments:  # which changes nothing but epsilon's weight
            plain = _applied(keras.optimizers.Adam(1e-2))
            assert np.abs(ours[-1] - plain[-1]).max() > 1e-4

    @by_name
    def test_fit_equals_keras_adam(self, arguments):
        x = np.random.default_rng(0).normal(size=(48, 3)).astype("float32")
        weights = []
        for optimizer in (FusedAdam(0.05, **arguments), keras.optimizers.Adam(0.05, **arguments)):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
            model.compile(optimizer, "mse")
            model.fit(x, x[:, :2] ** 2, batch_size=8, epochs=2, shuffle=False, verbose=0)
            weights.append(model.get_weights())
        for a, b in zip(*weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # 12 float32 steps of 0.05

    @by_name
    def test_local_updates_refuse_what_they_cannot_honour(self, arguments):
        optimizer = FusedAdam(**arguments)
        [variable] = variables = [keras.Variable(np.ones((3, 4), np.float32))]
        optimizer.build(variables)
        assert not optimizer.updates_locally
        message = rf"Argument `({'|'.join(arguments)})` must be .*`apply`.* Received: \1="
        with pytest.raises(ValueError, match=f"{message}.*"):
            optimizer.apply_local([tf.ones((3, 4))], variables)
        with pytest.raises(ValueError, match=f"{message}.*"):
            optimizer.matmul(tf.ones((2, 3)), variable)
        np.testing.assert_array_equal(variable, np.ones((3, 4)))

    def test_local_updates_take_the_other_arguments(self):
        assert FusedAdam(1e-2, 0.8, 0.99, 1e-5, ema_momentum=0.9, name="a").updates_locally

    @by_name
    def test_survive_serialisation(self, arguments):
        optimizer = FusedAdam(0.02, **arguments)
        copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
        assert type(copy) is FusedAdam
        assert copy.get_config() == optimizer.get_config()

    @pytest.mark.parametrize("how", ["apply", "apply_local"])
    def test_a_schedule_equals_keras_adam(self, how):
        schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        ours, theirs = _variables(), _variables()
        fused, plain = FusedAdam(schedule), keras.optimizers.Adam(schedule)
        fused.build(ours)
        for gradients in _gradients():
            getattr(fused, how)(gradients, ours)
            plain.apply(gradients, theirs)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)  # float32, steps of 0.1

    def test_gradients_of_embeddings_count_as_dense(self):
        # Keras squares the parts of a row that occurs twice one by one.
        optimizers = FusedAdam(0.1), keras.optimizers.Adam(0.1)
        tables = [keras.Variable(np.ones((5, 2), np.float32)) for _ in range(2)]
        for optimizer, table in zip(optimizers, tables, strict=True):
            optimizer.build([table])
            for _ in range(3):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(tf.gather(table.value, [0, 3, 3]) ** 2)
                gradient = tape.gradient(loss, table.value)
                assert isinstance(gradient, tf.IndexedSlices)
                dense = tf.convert_to_tensor(gradient)
                optimizer.apply([gradient if optimizer is optimizers[0] else dense], [table])
        np.testing.assert_allclose(*tables, atol=1e-5)  # float32, steps of 0.1

    def test_works_within_dynamic_loss_scaling(self):
        model = keras.Sequential(
            [keras.layers.Input((3,)), keras.layers.Dense(1, dtype="mixed_float16")]
        )
        model.compile(keras.optimizers.LossScaleOptimizer(FusedAdam(0.05)), "mse")
        x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
        losses = model.fit(x, x.sum(1, keepdims=True), epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.2 * losses[0]


def _generator(num_slices=1, dtype=None):
    generator = HypernetworkKernel(SHAPE, (4, 8), num_slices, dtype=dtype, name="g")
    generator.build((None, NOISE_DIM))
    rng = np.random.default_rng(2)
    for variable in generator.trainable_variables:
        variable.assign(0.3 * rng.normal(size=variable.shape))
    return generator


def _recorded(num_steps):
    """Noise and the gradient of a loss with respect to the weights, of each step."""
    rng = np.random.default_rng(3)
    return [
        (
            tf.constant(rng.normal(size=(NUM_SAMPLES, NOISE_DIM)), tf.float32),
            tf.constant(rng.normal(size=(NUM_SAMPLES, *SHAPE)), tf.float32),
        )
        for _ in range(num_steps)
    ]


def _step(generator, optimizer, z, weight_gradient):
    """Returns the gradients of one step that ends in `apply_local`."""
    with tf.GradientTape() as tape:
        weights = generator(z, matmul=optimizer.matmul)
    variables = generator.trainable_variables
    gradients = tape.gradient(
        weights, [v.value for v in variables], tf.cast(weight_gradient, weights.dtype)
    )
    optimizer.apply_local(gradients, variables)
    return gradients


def _built(generator):
    optimizer = FusedAdam(1e-2, epsilon=1e-5, name="adam")
    optimizer.build(generator.trainable_variables)
    return optimizer


def _index_of_kernel(generator):
    [index] = [
        i for i, v in enumerate(generator.trainable_variables) if v.path.endswith("output/kernel")
    ]
    return index


class TestMatmul:
    @pytest.mark.usefixtures("cpp_operations")
    @pytest.mark.parametrize("num_slices", [1, 7])
    @pytest.mark.parametrize("graph", [False, True])
    def test_twenty_steps_equal_keras_adam_with_a_tape(self, graph, num_slices):
        ours, theirs = _generator(num_slices), _generator(num_slices)
        fused, plain = _built(ours), keras.optimizers.Adam(1e-2, epsilon=1e-5)
        variables = theirs.trainable_variables
        plain.build(variables)
        index = _index_of_kernel(ours)

        def step(z, weight_gradient):
            gradients = _step(ours, fused, z, weight_gradient)
            # 35 rows of the factors for 7 slices are too many.
            assert (gradients[index] is None) == (num_slices == 1)
            assert all(g is not None for i, g in enumerate(gradients) if i != index)

        step = tf.function(step) if graph else step
        for z, weight_gradient in _recorded(20):
            step(z, weight_gradient)
            with tf.GradientTape() as tape:
                weights = theirs(z)
            values = [v.value for v in variables]
            plain.apply(tape.gradient(weights, values, weight_gradient), variables)
        assert int(fused.iterations.value) == 20
        for a, b in zip(ours.trainable_variables, variables, strict=True):
            # Rounding of 20 float32 updates of about 1e-2 each; some gradients are sums of 5 terms
            # that nearly cancel, and the first steps depend on little but their sign.
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)

    @pytest.mark.usefixtures("cpp_operations")
    def test_moments_are_the_same_variables_on_either_path(self, monkeypatch):
        results = []
        for choice in ("auto", "tensorflow"):
            monkeypatch.setenv("BBH_CPP_OPS", choice)
            generator = _generator()
            optimizer = _built(generator)
            for z, weight_gradient in _recorded(3):
                _step(generator, optimizer, z, weight_gradient)
            results.append({v.path: v.numpy() for v in optimizer.variables})
        assert list(results[0]) == list(results[1])
        for path, moment in results[0].items():
            # float32 sums in another order, of gradients below 10.
            np.testing.assert_allclose(moment, results[1][path], rtol=1e-5, atol=1e-5)
            assert np.any(moment), path

    @pytest.mark.usefixtures("cpp_operations")
    def test_the_gradient_is_of_the_kernel_before_its_update(self):
        kernel = keras.Variable(np.random.default_rng(0).normal(size=(4, 30)), dtype="float32")
        before = kernel.numpy()
        optimizer = FusedAdam(1.0)
        optimizer.build([kernel])
        left, right = (tf.random.stateless_normal((3, k), [k, 0]) for k in (4, 30))
        with tf.GradientTape() as tape:
            tape.watch(left)
            product = optimizer.matmul(left, kernel)
        np.testing.assert_allclose(product, left @ before, rtol=1e-5, atol=1e-5)  # float32
        np.testing.assert_array_equal(kernel.numpy(), before)  # until the tape goes back
        gradient = tape.gradient(product, left, right)
        np.testing.assert_allclose(gradient, right @ before.T, rtol=1e-5, atol=1e-5)  # float32
        # Adam's first step is the rate times the gradient's sign.
        sign = np.sign(np.transpose(left) @ right)
        np.testing.assert_allclose(before - kernel.numpy(), sign, atol=1e-3)

    @pytest.mark.parametrize(
        "choice, rank, dtype",
        [
            ("tensorflow", 3, "float32"),
            ("auto", MAX_RANK + 1, "float32"),
            ("auto", 3, "float16"),
            ("auto", 3, "bfloat16"),
            ("auto", None, "float32"),
        ],
    )
    def test_falls_back_to_an_ordinary_gradient(self, choice, rank, dtype, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", choice)
        kernel = keras.Variable(np.random.default_rng(0).normal(size=(4, 30)), dtype=dtype)
        before = kernel.numpy()
        optimizer = FusedAdam()
        optimizer.build([kernel])

        @tf.function(input_signature=[tf.TensorSpec((rank, 4), dtype)])
        def gradient(left):
            with tf.GradientTape() as tape:
                product = optimizer.matmul(left, kernel)
            return tape.gradient(product, kernel.value)

        left = tf.ones((rank or 3, 4), dtype)
        np.testing.assert_array_equal(gradient(left), tf.fill((4, 30), left[:, 0].shape[0]))
        np.testing.assert_array_equal(kernel.numpy(), before)

    def test_a_layer_of_mixed_precision_has_an_ordinary_gradient(self):
        generator = _generator(dtype="mixed_bfloat16")
        gradients = _step(generator, _built(generator), *_recorded(1)[0])
        assert {g.dtype for g in gradients} == {tf.float32}

    def test_the_old_name_warns(self):
        kernel = keras.Variable(np.ones((4, 30), np.float32))
        optimizer = FusedAdam()
        optimizer.build([kernel])
        with pytest.warns(DeprecationWarning, match="now called `FusedAdam.matmul`"):
            product = optimizer.multiply(tf.ones((3, 4)), kernel)
        np.testing.assert_array_equal(product, np.full((3, 30), 4))

    @pytest.mark.parametrize("choice", ["auto", "tensorflow"])
    def test_another_variable_without_a_gradient_is_named(self, choice, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", choice)
        generator = _generator()
        optimizer, variables = _built(generator), generator.trainable_variables
        gradients = _step(generator, optimizer, *_recorded(1)[0])
        others = {0, len(variables) - 1}
        for index in others | ({_index_of_kernel(generator)} if choice == "tensorflow" else set()):
            path = variables[index].path
            missing = [None if i == index else g for i, g in enumerate(gradients)]
            with pytest.raises(ValueError, match=f"'{path}' has no gradient"):
                optimizer.apply_local(missing, variables)


def test_release_frees_the_moments_and_nothing_else():
    variable = keras.Variable(np.ones((3, 4), np.float32))
    optimizer = FusedAdam(0.1)
    optimizer.build([variable])
    optimizer.apply_local([tf.ones((3, 4))], [variable])
    updated = variable.numpy()
    optimizer.release()
    for moment in (*optimizer._momentums, *optimizer._velocities):
        read = tf.raw_ops.ReadVariableOp(resource=moment.value.handle, dtype=tf.float32)
        assert tf.size(read) == 0
    np.testing.assert_array_equal(variable, updated)
