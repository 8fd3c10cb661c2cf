"""SavedModels that serve posterior samples with TensorFlow alone."""

import os
import pathlib

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

    def __init__(self, sampler, input_shape, input_range, preprocess, dtype):
        super().__init__()
        self._sampler = sampler
        self._input_range = input_range
        self._preprocess = preprocess
        # Variables that the traced functions use must hang on what is saved.
        self.parameters = [variable.value for variable in sampler.variables]
        # Lookup tables of preprocessing layers are no variables.
        self.model = getattr(sampler, "model", None)
        images = tf.TensorSpec((None, *input_shape), dtype, name="x")
        count = tf.TensorSpec((), tf.int32, name="num_samples")
        self.serve = tf.function(self._serve, input_signature=[images, count])
        self.serving_default = tf.function(
            lambda x: self._serve(x, tf.constant(DEFAULT_NUM_SAMPLES)), input_signature=[images]
        )

    def _serve(self, x, num_samples):
        checks = self._checks(x, num_samples)
        with tf.control_dependencies(checks):
            x, num_samples = self._preprocess(x), tf.identity(num_samples)
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
        ]
        if x.dtype.is_floating:
            finite = tf.reduce_all(tf.math.is_finite(x))
            message = "x must be finite. Received: NaN or infinite values, first of x:"
            checks.append(check(finite, message, x))
        if self._input_range is not None:
            low, high = self._input_range
            inside = (tf.cast(x, tf.float32) >= low) & (tf.cast(x, tf.float32) <= high)
            checks.append(
                check(
                    tf.reduce_all(inside),
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


def export(model, path, input_range: tuple[float, float] | None = None, pipeline=None):
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
        pipeline: `Pipeline` from the images that are sent to the model's inputs, which the
            SavedModel then does by itself; None: it takes the model's inputs.

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
    shape, preprocess = sampler.input_shape, tf.identity
    dtype = tf.as_dtype(sampler.input_dtype)
    if pipeline is not None and pipeline.prepare is not None:
        shape, preprocess = pipeline.image_shape, pipeline.served_inputs
        dtype = tf.float32
    module = ServedPosterior(sampler, shape, input_range, preprocess, dtype)
    signatures = {"serving_default": module.serving_default, "serve": module.serve}
    tf.saved_model.save(module, os.fspath(path), signatures=signatures)
    _write_readme(pathlib.Path(path), sampler, shape, dtype, input_range)
    return path


def _write_readme(path, sampler, shape, dtype, input_range):
    """Says beside the SavedModel, where such things go, what it takes and what it answers."""
    pixels = "finite" if input_range is None else "in [{:g}, {:g}]".format(*input_range)
    lines = [
        f"`serve(x, num_samples)` takes x, {dtype.name} (batch, {', '.join(map(str, shape))}),",
        f"{pixels}, and num_samples, an int32 scalar of at least 1; `serving_default(x)` draws",
        f"{DEFAULT_NUM_SAMPLES} samples.",
        "Answers are float32: `mean` (batch, classes), `entropy` (batch,) and `mutual_information`",
        "(batch,), both in nats. Every call draws posterior samples of its own.",
    ]
    if sampler.prediction_batch_size:
        lines += [
            "",
            "Batch normalisation uses the statistics of the batch: the answer for an image depends",
            "on the images that it is sent with. The model was trained and measured with batches",
            f"of {sampler.prediction_batch_size}.",
        ]
    folder = path / "assets.extra"
    folder.mkdir(exist_ok=True)
    (folder / "README.md").write_text("\n".join(lines) + "\n")
