"""The noise of a regression, learned with the network."""

import math

import keras
from keras import ops

from bayes_by_hypernet.checks import check_flag, check_positive
from bayes_by_hypernet.layers.kinds import dense_inputs, real_inputs


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class LearnedStddev(keras.layers.Layer):
    """Appends the logarithm of a learned standard deviation of the noise to a regression's outputs.

    The last layer of a network that is trained with `bbh.likelihoods.Gaussian("learned")`. The
    standard deviation is the same for all inputs, and it is a point: `bayesify` gives it no
    posterior unless `exclude=()`.

    Args:
        per_output: Whether each output has a standard deviation of its own.
        initial_stddev: Positive number, in units of the labels.

    Call arguments:
        inputs: Means `(batch, ..., units)`.

    Returns:
        `(batch, ..., 2 * units)`: the means, and behind them the logarithms.

    Raises:
        ValueError: If `initial_stddev` is not positive.

    Example:
        >>> layer = bbh.layers.LearnedStddev(initial_stddev=1.0)
        >>> np.array(layer(np.full((2, 1), 5.0))).tolist()  # means, log standard deviations
        [[5.0, 0.0], [5.0, 0.0]]
        >>> network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1), layer])
        >>> model = bbh.bayesify(network, "mean_field", num_train_examples=1000)
        >>> model.compile(bbh.FusedAdam(1e-3), bbh.likelihoods.Gaussian("learned"))
    """

    keeps_points = True

    def __init__(self, per_output=False, initial_stddev=1.0, **kwargs):
        super().__init__(**kwargs)
        self.per_output = check_flag("per_output", per_output)
        self.initial_stddev = check_positive("initial_stddev", initial_stddev)
        self.supports_masking = True

    def build(self, inputs_shape):
        self.input_spec = dense_inputs(self.name, inputs_shape)
        self.log_stddev = self.add_weight(
            (inputs_shape[-1] if self.per_output else 1,),
            keras.initializers.Constant(math.log(self.initial_stddev)),
            name="log_stddev",
        )

    def call(self, inputs):
        inputs = real_inputs(self, inputs)
        log_stddev = ops.zeros_like(inputs) + ops.cast(self.log_stddev, inputs.dtype)
        return ops.concatenate([inputs, log_stddev], axis=-1)

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], 2 * inputs_shape[-1])

    def get_config(self):
        config = {"per_output": self.per_output, "initial_stddev": self.initial_stddev}
        return {**super().get_config(), **config}
