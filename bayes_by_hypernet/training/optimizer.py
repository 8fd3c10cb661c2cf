"""Keras's Adam over TensorFlow's fused kernel: one pass over each variable, not several."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with `ResourceApplyAdam` as its update; same result to rounding.

    A drop-in optimiser for `compile`. A loop whose gradients are already the same on every
    replica calls `apply_local`, which exchanges nothing.
    """

    def build(self, variables):
        super().build(variables)
        if self.amsgrad:
            raise ValueError("FusedAdam has no AMSGrad. Received: amsgrad=True")

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        self._fused_update(index, gradient, variable, learning_rate)

    def apply_local(self, gradients, variables):
        """Updates this replica's copy of each variable from gradients that are equal everywhere.

        Args:
            gradients: Tensors, already summed over replicas.
            variables: The Keras variables that the optimiser was built with, in that order.
        """
        # A variable that is still being read is copied when it is written: wait for the readers.
        with tf.control_dependencies(gradients):
            for index, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
                self._fused_update(index, gradient, variable.value, self.learning_rate)
        self.iterations.assign_add(1)

    def _fused_update(self, index, gradient, variable, learning_rate):
        dtype = variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
            use_locking=False,
        )
