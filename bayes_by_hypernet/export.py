"""SavedModels that serve posterior samples with TensorFlow alone."""

import math
import os

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import files, likelihoods, randomness
from bayes_by_hypernet.checks import as_float, check_integer, refusal
from bayes_by_hypernet.inputs import tensor_specs
from bayes_by_hypernet.posteriors.samplers import as_sampler, source_of
from bayes_by_hypernet.prediction import samples_per_chunk, sufficient_samples, sum_over_samples

DEFAULT_NUM_SAMPLES = 100
MOST_SAMPLES = 2**30  # what int32 can count, with the samples that are drawn at once


class ServedPosterior(tf.Module):
    """What the SavedModel holds: the parameters and two endpoints."""

    def __init__(self, sampler, likelihood, specs, input_range, preprocess, abstention, limits):
        super().__init__()
        self._max_samples, self._max_batch = limits
        self._abstention = abstention
        self._sampler = sampler
        self._likelihood = likelihood
        self._input_range = input_range
        self._preprocess = preprocess
        # Variables that the traced functions use must hang on what is saved.
        self.parameters = [variable.value for variable in sampler.variables]
        # Lookup tables of preprocessing layers are no variables.
        self.models = getattr(sampler, "models", None) or [getattr(sampler, "model", None)]
        count = tf.TensorSpec((), tf.int32, name="num_samples")
        self.serve = tf.function(self._serve, input_signature=[specs, count])
        self.serving_default = tf.function(
            lambda x: self._serve(x, tf.constant(min(DEFAULT_NUM_SAMPLES, limits[0]))),
            input_signature=[specs],
        )

    def _serve(self, x, num_samples):
        checks = self._checks(x, num_samples)
        with tf.control_dependencies(checks):
            x = self._preprocess(x) if self._preprocess else x
            x = tf.nest.map_structure(tf.identity, x)
            num_samples = tf.identity(num_samples)
        num_samples = sufficient_samples(self._sampler, num_samples)
        sums = self._sums(x, num_samples)
        moments = [total / tf.cast(num_samples, total.dtype) for total in sums]
        summary = self._likelihood.summary(moments)
        answers = {name: tf.cast(value, tf.float32) for name, value in summary.items()}
        if self._abstention is not None:
            score, threshold = self._abstention
            if score not in answers:
                raise ValueError(
                    f"Argument `abstain_score` must be one of {sorted(answers)}, what the model "
                    f"answers. Received: abstain_score={score!r}"
                )
            answers["abstain"] = answers[score] > threshold
        return answers

    def _checks(self, x, num_samples):
        def check(condition, message, value):
            return tf.debugging.Assert(condition, [message, value])

        most = self._max_samples
        checks = [
            check(num_samples >= 1, "num_samples must be at least 1. Received:", num_samples),
            check(
                num_samples <= most, f"num_samples must be at most {most}. Received:", num_samples
            ),
        ]
        lengths = tf.stack([tf.shape(tensor)[0] for tensor in tf.nest.flatten(x)])
        message = "all inputs must hold as many examples. Received:"
        checks.append(check(tf.reduce_all(lengths == lengths[0]), message, lengths))
        checks.append(check(lengths[0] >= 1, "inputs must hold at least 1 example. Received:", 0))
        if self._max_batch is not None:
            message = f"inputs must hold at most {self._max_batch} examples. Received:"
            checks.append(check(lengths[0] <= self._max_batch, message, lengths[0]))
        for tensor in tf.nest.flatten(x):
            name = tensor.op.name.split("/")[-1] if tf.nest.is_nested(x) else "x"
            if tensor.dtype.is_floating:
                finite = tf.reduce_all(tf.math.is_finite(tensor))
                message = f"{name} must be finite. Received: NaN or infinite values, first of it:"
                checks.append(check(finite, message, tensor))
            if self._input_range is not None and tensor.dtype != tf.string:
                low, high = self._input_range
                inside = (tf.cast(tensor, tf.float32) >= low) & (
                    tf.cast(tensor, tf.float32) <= high
                )
                checks.append(
                    check(
                        tf.reduce_all(inside),
                        f"{name} must lie in [{low:g}, {high:g}]. Received: least and largest "
                        "value",
                        tf.stack([tf.reduce_min(tensor), tf.reduce_max(tensor)]),
                    )
                )
        return checks

    def _sums(self, x, num_samples):
        """Returns the sums over samples of the likelihood's moments, chunk by chunk."""
        key = randomness.fresh_key()
        most = samples_per_chunk(self._sampler)

        def of_sample(x, sample):
            return self._likelihood.moments(self._sampler.logits(x, sample))

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


def export(
    model,
    path,
    input_range: tuple[float, float] | None = None,
    pipeline=None,
    likelihood=None,
    from_logits: bool | None = None,
    abstention=None,
    abstain_score: str = "entropy",
    max_samples: int | None = 10_000,
    max_batch: int | None = 10_000,
):
    """Writes a SavedModel that draws fresh posterior samples at every call and in every process.

    It loads with TensorFlow alone, holds no custom op and no Python function, and accepts any
    batch size up to `max_batch`. Samples are drawn and evaluated one after another, so that their
    number takes time and no memory. It answers what `bbh.predict` answers:

    Both return a dict of float32 tensors. Of a categorical or Bernoulli likelihood these are
    `mean`, `entropy` and `mutual_information` (nats); of a Gaussian one `mean` and `std`, and where
    the noise is known the variances `aleatoric`, `epistemic` and `total`. With several outputs the
    names are `<output>_mean` and so on. A model with several inputs takes them in its own
    structure, and its signatures take them by their names. Calls raise InvalidArgumentError if
    `num_samples` is below 1 or above `max_samples`, inputs hold no example or more than
    `max_batch`, are not finite or lie outside `input_range`.

    Args:
        model: As for `bbh.predict`.
        path: Folder to write; it may be empty or hold another export, which is replaced.
        input_range: Pair of the least and largest input allowed, or None.
        pipeline: `Pipeline` from the images that are sent to the model's inputs, which the
            SavedModel then does by itself; None: it takes the model's inputs.
        likelihood, from_logits: As for `bbh.predict`: by default what the compiled loss says.
        abstention: `bbh.decisions.Abstention` or a number, the threshold above which the model
            should not decide: answers then hold `abstain`, boolean. None: they do not.
        abstain_score: Name of the answer that is compared with it.
        max_samples: Integer, the largest `num_samples` that a call may ask for: one request must
            not keep the server busy for hours. None: 2^30.
        max_batch: Integer, how many examples a call may hold at most: their activations are in
            memory at once. None: any number.

    Returns:
        `path`.

    Raises:
        StorageError: If there is no room, or the folder holds other files or can't be written;
            what was there stays.
        ValueError: If `input_range` is not a pair of increasing numbers, the model has no input
            shape, the likelihood does not fit its outputs, or the threshold is no number.

    Example:
        >>> import tempfile
        >>> layers = [keras.Input((4,)), bbh.layers.MCDropout(0.5), keras.layers.Dense(3)]
        >>> path = bbh.export(keras.Sequential(layers), tempfile.mkdtemp())
        >>> served = tf.saved_model.load(path)
        >>> sorted(served.serve(tf.ones((2, 4)), num_samples=tf.constant(100)))
        ['entropy', 'mean', 'mutual_information']
    """
    input_range = _checked_range(input_range)
    limits = (
        MOST_SAMPLES
        if max_samples is None
        else check_integer("max_samples", max_samples, 1, MOST_SAMPLES),
        None if max_batch is None else check_integer("max_batch", max_batch, 1),
    )
    if not isinstance(path, (str, os.PathLike)):
        raise refusal("path", "a folder, a string or path", path)
    sampler = as_sampler(model)
    if sampler.inputs is None:
        raise ValueError(
            "Argument `model` must know its input shape; make a subclassed model a functional one: "
            f"keras.Model(inputs, model(inputs)). Received: {model}"
        )
    found = likelihoods.of_model(
        source_of(model, sampler), likelihood, from_logits, sampler.outputs
    )
    specs, preprocess = tensor_specs(sampler.inputs), None
    if not tf.nest.is_nested(specs):
        specs = tf.TensorSpec(specs.shape, specs.dtype, name="x")
    if pipeline is not None and pipeline.prepare is not None:
        preprocess = pipeline.served_inputs
        specs = tf.TensorSpec((None, *pipeline.image_shape), tf.float32, name="x")
    if abstention is not None:
        threshold = getattr(abstention, "threshold", abstention)
        if math.isnan(as_float(threshold)):
            allowed = "a number, not NaN, or what bbh.decisions.fit_abstention returns"
            raise refusal("abstention", allowed, abstention)
        abstention = abstain_score, float(threshold)
    module = ServedPosterior(sampler, found, specs, input_range, preprocess, abstention, limits)
    signatures = {"serving_default": module.serving_default, "serve": module.serve}
    num_bytes = sum(math.prod(v.shape) * v.dtype.size for v in module.parameters)
    with files.new_folder(path, "saved_model.pb", num_bytes) as folder:
        tf.saved_model.save(module, os.fspath(folder), signatures=signatures)
        _write_readme(folder, module, sampler, specs, input_range, limits)
    return path


def _checked_range(input_range):
    """Returns a pair of increasing floats, or None."""
    if input_range is None:
        return None
    pair = input_range.tolist() if isinstance(input_range, np.ndarray) else input_range
    is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
    low, high = map(as_float, pair) if is_pair else (math.nan, math.nan)
    if not low < high:
        raise refusal("input_range", "a pair of increasing numbers or None", input_range)
    return low, high


def _write_readme(path, module, sampler, specs, input_range, limits):
    """Says beside the SavedModel, where such things go, what it takes and what it answers."""
    values = "finite" if input_range is None else "in [{:g}, {:g}]".format(*input_range)
    batch = "any number of" if limits[1] is None else f"1 to {limits[1]}"
    taken = [
        f"- `{spec.name}`, {spec.dtype.name} {_sizes(spec.shape)}"
        for spec in tf.nest.flatten(specs)
    ]
    answers = module.serve.get_concrete_function().structured_outputs
    answered = [
        f"- `{name}`, {value.dtype.name} {_sizes(value.shape)}" for name, value in answers.items()
    ]
    lines = [
        f"`serve` takes, besides `num_samples`, an int32 scalar from 1 to {limits[0]}:",
        "",
        *taken,
        "",
        f"A call holds {batch} examples. Numbers must be {values}. `serving_default` draws",
        f"{min(DEFAULT_NUM_SAMPLES, limits[0])} samples. Both",
        "answer:",
        "",
        *answered,
        "",
        "Entropies and mutual information are in nats. Every call draws posterior samples of its",
        "own.",
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
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sizes(shape):
    """Returns a shape in words, the first axis as `batch`."""
    return "(" + ", ".join(["batch", *("any" if s is None else str(s) for s in shape[1:])]) + ")"
