"""What an estimator of the KL from samples is to training."""

import abc


class SampledKL(abc.ABC):
    """A function `(samples, key) -> nats` of samples `(n, *shape)` of all weights.

    An estimator with parts to be trained in alternation names them in `auxiliary_variables`. The
    loop then takes `num_auxiliary_steps` of `auxiliary_gradients` before each training step.

    Attributes:
        auxiliary_variables: Keras variables.
        updates_in_backward: Whether large matrices may be updated without their gradient: not
            where `process` changes gradients.
    """

    auxiliary_variables = ()
    updates_in_backward = True

    @abc.abstractmethod
    def __call__(self, samples, key):
        """Returns the estimate, a scalar in nats."""

    def num_auxiliary_steps(self, step):
        """Returns how many auxiliary steps come before training step `step`, an integer tensor."""
        return 0

    def auxiliary_gradients(self, samples, key):
        """Returns the gradients of `auxiliary_variables` on posterior samples."""
        raise NotImplementedError

    def process(self, gradients):
        """Returns the gradients with which the model is updated."""
        return gradients
