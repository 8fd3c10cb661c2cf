"""Keras's Adam over fused kernels: one pass over each variable and its moments, not several."""

import functools
import warnings

import keras
import tensorflow as tf

from bayes_by_hypernet.checks import (
    check_at_least,
    check_between,
    check_flag,
    check_integer,
    refusal,
)
from bayes_by_hypernet.kernels import library, outer_product, xla

# Arguments that `apply` honours and `apply_local` cannot: they change gradients or variables
# outside the fused update.
_NOT_LOCAL = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with `ResourceApplyAdam` as its update; same result to rounding.

    It replaces `keras.optimizers.Adam` in `compile`, and `apply` honours every argument but
    `amsgrad`. A training loop with gradients that are already equal on every replica can call
    `apply_local`, which communicates nothing. Such a loop can also compute products with a large
    matrix by `matmul`: the matrix is updated during the backward pass, and its gradient is never
    stored. Moments and checkpoints are the same on every path.

    Args:
        learning_rate: Float, `keras.optimizers.schedules.LearningRateSchedule`, or function
            without arguments that returns the learning rate.
        beta_1: Float, the decay rate of the first moment.
        beta_2: Float, the decay rate of the second moment.
        epsilon: Float, added to the root of the second moment.
        amsgrad: Boolean. Only False is allowed; the argument exists because Keras's Adam has it.
        weight_decay: Float or None: the factor of decoupled weight decay.
        clipnorm: Float or None: the largest norm of each variable's gradient.
        clipvalue: Float or None: the largest absolute value of each gradient's elements.
        global_clipnorm: Float or None: the largest norm of all gradients together.
        use_ema: Boolean, whether to keep an exponential moving average of the variables.
        ema_momentum: Float in [0, 1], the decay rate of that average.
        ema_overwrite_frequency: Integer or None: the variables are set to their average once in
            this many steps. None: only at the end of `fit`.
        loss_scale_factor: Float or None: `scale_loss` multiplies by it, `apply` divides by it.
        gradient_accumulation_steps: Integer, at least 2, or None: the variables are updated once
            in this many steps, with the mean of the gradients.
        name: String or None.

    Raises:
        ValueError: If `amsgrad` is not False, or Keras refuses another argument.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile(bbh.FusedAdam(1e-3, clipnorm=1.0), loss="mse")
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
    ):
        if check_flag("amsgrad", amsgrad):
            raise ValueError(
                "Argument `amsgrad` must be False, since the fused update has no AMSGrad; use "
                f"keras.optimizers.Adam for it. Received: amsgrad={amsgrad}"
            )
        if not callable(learning_rate):  # a schedule is
            learning_rate = check_at_least("learning_rate", learning_rate, 0)
        use_ema = check_flag("use_ema", use_ema)
        beta_1, beta_2, ema_momentum = (
            check_between(name, value, 0, 1, closed=True)
            for name, value in (
                ("beta_1", beta_1),
                ("beta_2", beta_2),
                ("ema_momentum", ema_momentum),
            )
        )
        epsilon = check_at_least("epsilon", epsilon, 0)
        weight_decay, clipnorm, clipvalue, global_clipnorm, loss_scale_factor = (
            value if value is None else check_at_least(name, value, 0)
            for name, value in (
                ("weight_decay", weight_decay),
                ("clipnorm", clipnorm),
                ("clipvalue", clipvalue),
                ("global_clipnorm", global_clipnorm),
                ("loss_scale_factor", loss_scale_factor),
            )
        )
        ema_overwrite_frequency, gradient_accumulation_steps = (
            value if value is None else check_integer(name, value, least)
            for name, value, least in (
                ("ema_overwrite_frequency", ema_overwrite_frequency, 1),
                ("gradient_accumulation_steps", gradient_accumulation_steps, 2),
            )
        )
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )

    def build(self, variables):
        super().build(variables)
        self._updated_in_backward = set()

    @property
    def updates_locally(self) -> bool:
        """Whether `apply_local` and `matmul` can honour the arguments given to `__init__`.

        False if any of `weight_decay`, `clipnorm`, `clipvalue`, `global_clipnorm`, `use_ema`,
        `loss_scale_factor` and `gradient_accumulation_steps` is set; use `apply` then.
        """
        return not any(getattr(self, name) for name in _NOT_LOCAL)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        settings = self._settings(variable.dtype, learning_rate)
        self._fused_update(index, gradient, variable, settings)

    def matmul(self, left, kernel):
        """Returns `left @ kernel`; where this is faster, the backward pass updates the kernel.

        For gradients that are equal on every replica, and for one product with each kernel in a
        step, followed by `apply_local`. The fast path needs the C++ operations, a kernel on a CPU
        and few rows. Without them the kernel gets an ordinary gradient.

        Args:
            left: Tensor `(rank, rows)`.
            kernel: Keras variable `(rows, columns)` that the optimiser was built with.

        Returns:
            Tensor `(rank, columns)`.

        Raises:
            ValueError: If `updates_locally` is False.
        """
        self._check_updates_locally("matmul")
        variable = kernel.value
        if not self._can_update_in_backward(left, variable):
            return tf.matmul(left, tf.convert_to_tensor(variable))

        @tf.custom_gradient
        def product(left):
            def update(right):
                return self._outer_product_update(kernel, left, right)

            return outer_product.thin_product(left, variable), update

        return product(left)

    def multiply(self, left, kernel):
        """Deprecated: the old name of `matmul`."""
        warnings.warn(
            "`FusedAdam.multiply` is now called `FusedAdam.matmul`.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.matmul(left, kernel)

    def apply_local(self, gradients, variables):
        """Updates this replica's copy of each variable from gradients that are equal everywhere.

        Args:
            gradients: Tensors, already summed over replicas; None for a kernel that the backward
                pass of `matmul` has updated.
            variables: The Keras variables, of those that the optimiser was built with.

        Raises:
            ValueError: If `updates_locally` is False, another variable has no gradient, or one does
                not fit its variable; nothing is updated then.
        """
        self._check_updates_locally("apply_local")
        indices = [self._get_variable_index(variable) for variable in variables]
        updates = list(zip(indices, gradients, variables, strict=True))
        for index, gradient, variable in updates:
            if gradient is None and index not in self._updated_in_backward:
                raise ValueError(
                    "Argument `gradients` must hold a tensor for each variable. Received: the "
                    f"variable {variable.path!r} has no gradient"
                )
            if gradient is not None:
                _check_gradient(gradient, variable)
        # Update after all reads: a variable that is still being read is copied when written.
        # Grouped, since a graph with an edge from every gradient to every update grows with the
        # square of their number, to gigabytes for a thousand.
        ready = tf.group(*(gradient for gradient in gradients if gradient is not None))
        settings = functools.cache(self._settings)
        with tf.control_dependencies([ready]):
            for index, gradient, variable in updates:
                if gradient is not None:
                    value = variable.value
                    self._fused_update(index, gradient, value, settings(value.dtype))
        self.iterations.assign_add(1)

    def release(self):
        """Frees the moments' memory; the optimiser is of no use then.

        Without it they stay as long as the process: TensorFlow keeps the gradient functions of
        every trace, and what those have captured.
        """
        for moment in [*self._momentums, *self._velocities]:
            for copy in tf.distribute.get_strategy().experimental_local_results(moment.value):
                tf.raw_ops.AssignVariableOp(
                    resource=copy.handle, value=tf.zeros(0, copy.dtype), validate_shape=False
                )

    def _check_updates_locally(self, method):
        for name in _NOT_LOCAL:
            value = getattr(self, name)
            if value:
                raise ValueError(
                    f"Argument `{name}` must be {'False' if name == 'use_ema' else 'None'} for "
                    f"`FusedAdam.{method}`, which only `apply` can honour. Received: "
                    f"{name}={value}"
                )

    def _can_update_in_backward(self, left, variable):
        return (
            left.shape[0] is not None
            and left.shape[0] <= outer_product.MAX_RANK
            and left.dtype == variable.dtype
            and left.dtype in (tf.float32, tf.float64)
            and "CPU" in variable.device
            and not xla.inside_xla()
            and library.load() is not None
        )

    def _outer_product_update(self, kernel, left, right):
        index = self._get_variable_index(kernel)
        self._updated_in_backward.add(index)
        rate, beta_1, beta_2, epsilon, beta_1_power, beta_2_power = self._settings(left.dtype)
        return outer_product.apply_outer_product_adam(
            kernel.value,
            self._momentums[index].value,
            self._velocities[index].value,
            left,
            right,
            rate * tf.sqrt(1 - beta_2_power) / (1 - beta_1_power),
            beta_1,
            beta_2,
            epsilon,
        )

    def _fused_update(self, index, gradient, variable, settings):
        rate, beta_1, beta_2, epsilon, beta_1_power, beta_2_power = settings
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1_power,
            beta2_power=beta_2_power,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(tf.convert_to_tensor(gradient), variable.dtype),  # also of IndexedSlices
            use_locking=False,
        )

    def _settings(self, dtype, learning_rate=None):
        """Returns learning rate, betas, epsilon, and the betas to the power of this step."""
        learning_rate = self.learning_rate if learning_rate is None else learning_rate
        step = keras.ops.cast(self.iterations + 1, dtype)
        rate, beta_1, beta_2, epsilon = (
            tf.cast(value, dtype)
            for value in (learning_rate, self.beta_1, self.beta_2, self.epsilon)
        )
        return rate, beta_1, beta_2, epsilon, beta_1**step, beta_2**step


def _check_gradient(gradient, variable):
    """Raises a ValueError unless a gradient is real numbers in the shape of its variable."""
    try:
        is_sparse = isinstance(gradient, tf.IndexedSlices)
        dense = gradient if is_sparse else tf.convert_to_tensor(gradient)
        fits = (dense.dtype.is_floating or dense.dtype.is_integer) and (
            dense.shape.is_compatible_with(variable.shape)
        )
    except (TypeError, ValueError):  # no array of numbers
        fits = False
    if not fits:
        allowed = f"a tensor of real numbers of shape {tuple(variable.shape)} for {variable.path!r}"
        raise refusal("gradients", allowed, gradient)
