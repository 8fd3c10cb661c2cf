"""Keras's Adam over fused kernels: one pass over each variable and its moments, not several."""

import functools

import keras
import tensorflow as tf

from bayes_by_hypernet.kernels import library, outer_product, xla


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with `ResourceApplyAdam` as its update; same result to rounding.

    A drop-in optimiser for `compile`. A loop whose gradients are already the same on every
    replica calls `apply_local`, which exchanges nothing. Such a loop can also have a product with
    a large matrix by `multiply`: the matrix is then updated as the tape goes back over the
    product, and its gradient never exists. Moments and checkpoints are the same on every path.
    """

    def build(self, variables):
        super().build(variables)
        if self.amsgrad:
            raise ValueError("FusedAdam has no AMSGrad. Received: amsgrad=True")
        self._updated_in_backward = set()

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        settings = self._settings(variable.dtype, learning_rate)
        self._fused_update(index, gradient, variable, settings)

    def multiply(self, left, kernel):
        """Returns `left @ kernel`; where that is faster, going back over it updates the kernel.

        For gradients that are equal on every replica, and for one product with each kernel in a
        step, followed by `apply_local`. The fast path needs the C++ operations, a kernel on a CPU
        and few rows; elsewhere the kernel gets a gradient as ever.

        Args:
            left: Tensor `(rank, rows)`.
            kernel: Keras variable `(rows, columns)` that the optimiser was built with.
        """
        variable = kernel.value
        if not self._can_update_in_backward(left, variable):
            return tf.matmul(left, tf.convert_to_tensor(variable))

        @tf.custom_gradient
        def product(left):
            def update(right):
                return self._outer_product_update(kernel, left, right)

            return outer_product.thin_product(left, variable), update

        return product(left)

    def apply_local(self, gradients, variables):
        """Updates this replica's copy of each variable from gradients that are equal everywhere.

        Args:
            gradients: Tensors, already summed over replicas; None for a kernel that going back
                over `multiply` has updated.
            variables: The Keras variables that the optimiser was built with, in that order.

        Raises:
            ValueError: If another variable has no gradient; nothing is updated then.
        """
        for index, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
            if gradient is None and index not in self._updated_in_backward:
                raise ValueError(f"The variable {variable.path!r} has no gradient.")
        # A variable that is still being read is copied when it is written: wait for the readers.
        # Grouped, since a graph with an edge from every gradient to every update grows with the
        # square of their number, to gigabytes for a thousand.
        ready = tf.group(*(gradient for gradient in gradients if gradient is not None))
        settings = functools.cache(self._settings)
        with tf.control_dependencies([ready]):
            for index, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
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
            grad=tf.cast(gradient, variable.dtype),
            use_locking=False,
        )

    def _settings(self, dtype, learning_rate=None):
        """Returns learning rate, betas, epsilon, and the betas to the power of this step."""
        learning_rate = self.learning_rate if learning_rate is None else learning_rate
        step = tf.cast(self.iterations.value + 1, dtype)
        rate, beta_1, beta_2, epsilon = (
            tf.cast(value, dtype)
            for value in (learning_rate, self.beta_1, self.beta_2, self.epsilon)
        )
        return rate, beta_1, beta_2, epsilon, beta_1**step, beta_2**step
