"""SavedModels that serve posterior samples with TensorFlow alone."""

import os

import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.prediction import (
    as_sampler,
    categorical_outputs,
    samples_per_chunk,
    sufficient_samples,
    sum_over_samples,
)

DEFAULT_NUM_SAMPLES = 100


class ServedPosterior(tf.Module):
    """What the SavedModel holds: the parameters and two endpoints."""

    def __init__(self, sampler, input_shape, input_range):
        super().__init__()
        self._sampler = sampler
        self._input_range = input_range
        # Variables that the traced functions use must hang on what is saved.
        self.parameters = [variable.value for variable in sampler.variables]
        images = tf.TensorSpec((None, *input_shape), tf.float32, name="x")
        count = tf.TensorSpec((), tf.int32, name="num_samples")
        self.serve = tf.function(self._serve, input_signature=[images, count])
        self.serving_default = tf.function(
            lambda x: self._serve(x, tf.constant(DEFAULT_NUM_SAMPLES)), input_signature=[images]
        )

    def _serve(self, x, num_samples):
        checks = self._checks(x, num_samples)
        with tf.control_dependencies(checks):
            x, num_samples = tf.identity(x), tf.identity(num_samples)
        num_samples = sufficient_samples(self._sampler, num_samples)
        probs, entropies = self._sums(x, num_samples)
        count = tf.cast(num_samples, tf.float32)
        mean = probs / count  # (batch, classes)
        entropy = -tf.reduce_sum(tf.math.xlogy(mean, mean), axis=-1)
        mutual_information = tf.maximum(entropy - entropies / count, 0.0)
        return {"mean": mean, "entropy": entropy, "mutual_information": mutual_information}

    def _checks(self, x, num_samples):
        def check(condition, message, value):
            return tf.debugging.Assert(condition, [message, value])

        checks = [
            check(num_samples >= 1, "num_samples must be at least 1. Received:", num_samples),
            check(
                tf.reduce_all(tf.math.is_finite(x)),
                "x must be finite. Received: NaN or infinite values, first of x:",
                x,
            ),
        ]
        if self._input_range is not None:
            low, high = self._input_range
            checks.append(
                check(
                    tf.reduce_all((x >= low) & (x <= high)),
                    f"x must lie in [{low:g}, {high:g}]. Received: least and largest value",
                    tf.stack([tf.reduce_min(x), tf.reduce_max(x)]),
                )
            )
        return checks

    def _sums(self, x, num_samples):
        """Returns the sums over samples of probabilities and entropies, chunk by chunk."""
        key = randomness.fresh_key()
        most = samples_per_chunk(self._sampler)

        def of_sample(x, sample):
            return categorical_outputs(self._sampler.logits(x, sample))

        def chunk(first):
            count = tf.minimum(most, num_samples - first)
            draws = self._sampler.draw(count, randomness.fold_in(key, first))
            return sum_over_samples(of_sample, x, draws, count)

        _, sums = tf.while_loop(
            lambda first, _: first < num_samples,
            lambda first, sums: (
                first + most,
                tf.nest.map_structure(tf.add, sums, chunk(first)),
            ),
            (tf.constant(most), chunk(tf.constant(0))),
            parallel_iterations=1,
        )
        return sums


def export(model, path, input_range: tuple[float, float] | None = None):
    """Writes a SavedModel that draws fresh posterior samples at every call and in every process.

    It loads with TensorFlow alone, holds no custom op and no Python function, and accepts any
    batch size:

    ```
    served = tf.saved_model.load(path)
    served.serve(x, num_samples=100)  # or served.serving_default(x)
    ```

    Both return `mean` (batch, classes), `entropy` (batch,) and `mutual_information` (batch,),
    float32, nats. They raise InvalidArgumentError if `num_samples < 1`, `x` is not finite or lies
    outside `input_range`.

    Args:
        model: A `Posterior`, or a stochastic Keras model that returns logits.
        path: Folder to write.
        input_range: Pair of the least and largest input allowed, or None.

    Returns:
        `path`.

    Raises:
        ValueError: If `input_range` is not a pair of increasing numbers, or the model has no input
            shape.
    """
    if input_range is not None and not (len(input_range) == 2 and input_range[0] < input_range[1]):
        raise ValueError(
            "Argument `input_range` must be a pair of increasing numbers or None. "
            f"Received: input_range={input_range}"
        )
    sampler = as_sampler(model)
    if sampler.input_shape is None:
        raise ValueError(
            "Argument `model` must know its input shape; make a subclassed model a functional one: "
            f"keras.Model(inputs, model(inputs)). Received: {model}"
        )
    module = ServedPosterior(sampler, sampler.input_shape, input_range)
    signatures = {"serving_default": module.serving_default, "serve": module.serve}
    tf.saved_model.save(module, os.fspath(path), signatures=signatures)
    return path
