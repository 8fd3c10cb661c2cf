"""The posterior predictive: the mean over posterior samples of the network's prediction."""

import random
import sys
import threading
import warnings

import keras
import numpy as np
import tensorflow as tf
import tqdm

from bayes_by_hypernet import compat, likelihoods, randomness
from bayes_by_hypernet.checks import check_choice, check_flag, check_integer, check_seed
from bayes_by_hypernet.inputs import Inputs, count_examples, tensor_specs
from bayes_by_hypernet.likelihoods import GaussianPrediction, Prediction
from bayes_by_hypernet.posteriors.samplers import as_sampler, sample_bytes, source_of

# Bytes of posterior samples that are in memory at once, as float32: LeNet's 100 are 172 MB.
MAX_SAMPLE_BYTES = 512 * 2**20

NUM_TRIED = 16  # inputs with which a model is tried before it is compiled
SECONDS_BEFORE_PROGRESS = 3  # work that ends sooner shows no bar


def sufficient_samples(sampler, num_samples):
    """Returns how many posterior samples to draw where the sampler has few that differ.

    Args:
        sampler: What `as_sampler` returns.
        num_samples: Integer or scalar tensor.
    """
    distinct = sampler.num_distinct_samples
    if distinct is None:
        return num_samples
    least = tf.minimum if tf.is_tensor(num_samples) else min
    return least(num_samples, distinct)


def samples_per_chunk(sampler):
    """Returns how many posterior samples to draw at once: what fits `MAX_SAMPLE_BYTES`.

    At least 1, and at least those that differ from each other where they are few: in memory they
    are anyway, and only a draw of that many is sure to hold each of them.
    """
    return max(MAX_SAMPLE_BYTES // sample_bytes(sampler), sampler.num_distinct_samples or 1)


class Predictor:
    """Compiled prediction with one sampler: means over posterior samples, batch by batch.

    Args:
        sampler: What `as_sampler` returns.
        likelihood: `Likelihood` or `likelihoods.Joint`: says what is averaged over samples.
    """

    def __init__(self, sampler, likelihood=None):
        self.sampler = sampler
        self.likelihood = likelihood or likelihoods.Categorical()
        self._draw = tf.function(sampler.draw, reduce_retracing=True)
        specs = getattr(sampler, "inputs", None)
        if specs is None:
            self._sum = tf.function(self._sum_samples, reduce_retracing=True)
            self._each = tf.function(self._each_sample, reduce_retracing=True)
            return
        # Shapes that fit every batch and number of samples: nothing is traced twice.
        count = tf.TensorSpec((), tf.int32)
        drawn = self._draw.get_concrete_function(count, tf.TensorSpec((2,), tf.int32))
        samples = tf.nest.map_structure(
            lambda draw: tf.TensorSpec((None, *draw.shape[1:]), draw.dtype),
            drawn.structured_outputs,
        )
        signature = [tensor_specs(specs), samples, count]
        self._sum = tf.function(self._sum_samples, input_signature=signature)
        self._each = tf.function(self._each_sample, input_signature=signature[:2])

    def __call__(
        self,
        x,
        num_samples,
        key,
        batch_size=1000,
        return_samples=False,
        progress=lambda count: None,
    ):
        """Predicts inputs under posterior samples.

        Args:
            x: Inputs, as for `bbh.predict`.
            num_samples: Integer S.
            key: Stateless seed `(2,)`.
            batch_size: Integer, inputs of one call.
            return_samples: Whether to keep what the likelihood wants of every sample.
            progress: Function that hears of every batch how many inputs times samples it was.

        Returns:
            The means of the likelihood's moments over samples, a list of arrays `(N, ...)`; and
            the moments of every sample, a list of arrays `(S, N, ...)`, or None.
        """
        fixed = self.sampler.prediction_batch_size
        specs = getattr(self.sampler, "inputs", None)
        batches = Inputs(x, specs, fixed or batch_size, rebatch=fixed is not None)
        most = samples_per_chunk(self.sampler)
        if num_samples > most and batches.num_examples is None:
            batches = list(batches)  # a generator can be read once only
        sums, kept = None, []
        for first in range(0, num_samples, most):
            count = min(most, num_samples - first)
            drawn = self._draw(tf.constant(count), randomness.fold_in(key, first))
            parts, of_samples = [], []
            for batch in batches:
                if return_samples:
                    part, of_sample = self._each(batch, drawn)
                    of_samples.append([moment.numpy() for moment in of_sample])
                else:
                    part = self._sum(batch, drawn, tf.constant(count))
                parts.append([moment.numpy() for moment in part])
                progress(len(keras.tree.flatten(batch)[0]) * count)
            chunk = [np.concatenate(values) for values in zip(*parts, strict=True)]
            sums = chunk if sums is None else [a + b for a, b in zip(sums, chunk, strict=True)]
            if return_samples:
                kept.append([np.concatenate(v, axis=1) for v in zip(*of_samples, strict=True)])
        samples = [np.concatenate(values) for values in zip(*kept, strict=True)] or None
        return [total / num_samples for total in sums], samples

    def _of_sample(self, x, sample):
        return self.likelihood.moments(self.sampler.logits(x, sample))

    def _sum_samples(self, x, draws, num_samples):
        return sum_over_samples(self._of_sample, x, draws, num_samples)

    def _each_sample(self, x, draws):
        """Returns the sums of the moments, and those that the likelihood wants of every sample."""
        first = self._of_sample(x, tf.nest.map_structure(lambda draw: draw[0], draws))
        signature = tuple(tf.TensorSpec(None, value.dtype) for value in first)
        moments = tf.map_fn(
            lambda sample: self._of_sample(x, sample), draws, fn_output_signature=signature
        )
        sums = [tf.reduce_sum(moment, axis=0) for moment in moments]
        return sums, self.likelihood.sample_moments(moments)


def sum_over_samples(of_sample, x, draws, num_samples, add=None):
    """Returns the sum over `draws` of the tensors `of_sample(x, draw)`, one draw at a time.

    Args:
        of_sample: Function that returns a structure of tensors.
        x: Inputs.
        draws: Structure of tensors `(num_samples, ...)`.
        num_samples: Scalar tensor.
        add: Function of a sum and what the next draw gave; None: elementwise.
    """

    def at(i):
        return of_sample(x, tf.nest.map_structure(lambda draw: draw[i], draws))

    add = add or (lambda total, other: tf.nest.map_structure(tf.add, total, other))
    sums = at(0)
    _, sums = tf.while_loop(
        lambda i, _: i < num_samples,
        lambda i, sums: (i + 1, add(sums, at(i))),
        (tf.constant(1), sums),
        parallel_iterations=1,  # Several at once take more memory and no less time.
    )
    return sums


def predict(
    model,
    x,
    num_samples: int = 100,
    batch_size: int | None = 1000,
    seed: int | None = None,
    from_logits: bool | None = None,
    return_samples: bool = False,
    likelihood=None,
    verbose: str | int = "auto",
) -> Prediction | GaussianPrediction:
    """Predicts with the mean over posterior samples (paper, Section 2).

    Weight samples are generated in one batch, and each predicts the whole set. Samples of more
    than 512 MiB together are generated in several, and what a seed draws then depends on their
    size. Layers of this package hold one draw for each posterior sample over all batches, so that
    a seed gives the same answer for any `batch_size`; layers that draw per example, and those of
    other packages, draw anew at each call.

    What is compiled for a model is kept with it: later calls trace nothing. Several threads may
    predict with one model at once.

    Args:
        model: A `Posterior`; a Keras model whose calls differ from each other; a list of Keras
            models or paths of `.keras` files, which is an ensemble; one such path.
        x: What Keras's `predict` takes, see `inputs.Inputs`: arrays `(N, ...)`, a list or dict of
            them for several inputs, a `tf.data.Dataset`, `PyDataset` or generator of batches.
        num_samples: Posterior samples S, at least 1.
        batch_size: Inputs of one call; None: 1000. Where answers depend on the other inputs of a
            batch (`--batch_norm=batch`) it is training's, whatever is given.
        seed: Integer: the same answer again. None: fresh samples, which
            `keras.utils.set_random_seed` makes repeatable.
        from_logits: Whether the model's outputs are logits; else probabilities. None: what the
            compiled loss says, else logits.
        return_samples: Whether to keep every sample's prediction, `(S, N, ...)`.
        likelihood: `"categorical"`, `"bernoulli"` (binary and multi-label), `"gaussian"` (a
            regression), or an object of `bbh.likelihoods`; for several outputs also a list or
            dict of them. None: what the compiled loss says, else categorical.
        verbose: `"auto"`: a progress bar where it takes more than three seconds; 0: none.

    Returns:
        `Prediction`, or `GaussianPrediction` for a gaussian likelihood, NumPy arrays, nats. For
        several outputs a list or dict of them.

    Raises:
        ValueError: If an argument is out of range; `x` is empty, not finite, or does not fit the
            model's inputs; the model has one output unit and nothing says what it is; or
            probabilities are none.

    Example:
        >>> layers = [keras.Input((4,)), bbh.layers.MCDropout(0.5), keras.layers.Dense(3)]
        >>> prediction = bbh.predict(keras.Sequential(layers), np.ones((2, 4)), num_samples=100)
        >>> prediction.mean.shape  # probabilities
        (2, 3)
        >>> prediction.epistemic.shape  # what the posterior samples disagree about, nats
        (2,)
    """
    batch_size = 1000 if batch_size is None else check_integer("batch_size", batch_size, 1)
    num_samples = check_integer("num_samples", num_samples, 1)
    return_samples = check_flag("return_samples", return_samples)
    check_choice("verbose", verbose, ("auto", 0, 1, 2, False, True))
    key = seed_or_fresh_key(seed)
    predictor = kept(Predictor, model, likelihood, from_logits, x)
    sampler = predictor.sampler
    if not return_samples:
        num_samples = sufficient_samples(sampler, num_samples)
    count = count_examples(x)
    with tqdm.tqdm(
        total=None if count is None else count * num_samples,
        unit="prediction",
        unit_scale=True,
        delay=SECONDS_BEFORE_PROGRESS,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        disable=verbose == 0,
    ) as bar:
        moments, samples = predictor(
            x, num_samples, key, batch_size, return_samples, progress=bar.update
        )
    return predictor.likelihood.prediction(moments, samples)


def seed_or_fresh_key(seed):
    """Returns the key of an integer seed, or a new one that `set_random_seed` makes repeatable."""
    if seed is None:
        return randomness.seed_key(random.getrandbits(62))
    return randomness.seed_key(check_seed(seed, bits=62))


_lock = threading.RLock()


def kept(kind, model, likelihood, from_logits, x, **settings):
    """Returns what is compiled for a model, made at the first call and kept with the model.

    Args:
        kind: Class, made as `kind(sampler, likelihood, **settings)`.
        model: As for `predict`.
        likelihood, from_logits: As for `predict`.
        x: Inputs, with which a model is called that does not know its outputs.
        **settings: Hashable.
    """
    models = list(model) if isinstance(model, (list, tuple)) else [model]
    owner = models[0] if models else None
    with _lock:
        is_keras = isinstance(owner, keras.layers.Layer)
        is_object = is_keras or hasattr(owner, "draw")
        # Not by `setattr`: Keras would take it for a part of the model.
        store = vars(owner).setdefault("_kept_by_predict", {}) if is_object else {}
        for one in models:
            if isinstance(one, keras.layers.Layer) and not one.built:
                one(_few(x, None))  # makes its weights, as Keras's `predict` does
        parts = [part for one in models for part in _parts_of(one)]
        identity = tuple(map(id, parts))
        if identity not in store:
            sampler = as_sampler(model)
            outputs = getattr(sampler, "outputs", None)
            tried = None if outputs is not None and not is_keras else _tried(sampler, x)
            if outputs is None:
                outputs = tried[0]
            # The parts are held, so that no other object can get their ids.
            store.clear()
            store[identity] = (parts, sampler, outputs, tried, {})
        _, sampler, outputs, tried, made = store[identity]
        first = source_of(model, sampler)
        found = likelihoods.of_model(first, likelihood, from_logits, outputs)
        name = (kind.__name__, found.key, tuple(settings.items()))
        if name not in made:
            if tried is not None and kind is Predictor:
                _warn_of_equal_samples(first, sampler, tried)
                _warn_of_probabilities(first, found, likelihood, from_logits, tried)
            made[name] = kind(sampler, found, **settings)
        return made[name]


def _parts_of(model):
    """Returns the objects that make another model of a model where one of them changes."""
    if not isinstance(model, keras.layers.Layer):
        return [model]
    return [*compat.flatten_layers(model), *model.variables]


def _few(x, specs):
    """Returns a few of the first inputs, tensors in the structure of `specs`."""
    if hasattr(x, "__next__"):
        raise ValueError(
            "Argument `x` must not be a generator where the model does not know its inputs and "
            "outputs: pass arrays, or make a functional model of it, keras.Model(inputs, "
            f"model(inputs)). Received: {type(x).__name__}"
        )
    batch = next(iter(Inputs(x, specs, NUM_TRIED)))
    return keras.tree.map_structure(lambda array: tf.constant(array[:NUM_TRIED]), batch)


def _tried(sampler, x):
    """Returns the outputs for a few of the first inputs under two posterior samples.

    None where `x` can be read once only, and the outputs are known without.
    """
    specs = getattr(sampler, "inputs", None)
    if hasattr(x, "__next__") and getattr(sampler, "outputs", None) is not None:
        return None
    few = _few(x, specs)
    drawn = sampler.draw(2, randomness.seed_key(0))
    return [
        sampler.logits(few, tf.nest.map_structure(lambda draw: draw[i], drawn))  # noqa: B023
        for i in range(2)
    ]


def _warn_of_equal_samples(model, sampler, tried):
    """Warns where a Keras model draws nothing when it predicts."""
    meant = hasattr(model, "body") or hasattr(sampler, "models")  # by `bayesify`; an ensemble
    if meant or not isinstance(model, keras.layers.Layer):
        return
    pairs = zip(*(keras.tree.flatten(outputs) for outputs in tried), strict=True)
    if all(np.array_equal(one, other) for one, other in pairs):
        warnings.warn(
            f"All posterior samples of {model.name!r} predict the same, so that there is no "
            "epistemic uncertainty: the model draws nothing when it predicts. Make it Bayesian "
            "with bbh.bayesify, or keep its Dropout layers active with "
            'bbh.bayesify(model, "dropout").',
            stacklevel=4,
        )


def _warn_of_probabilities(model, found, likelihood, from_logits, tried):
    """Warns where outputs that nobody has called logits look like probabilities."""
    is_guess = likelihood is None and from_logits is None and not hasattr(model, "likelihood")
    is_guess = is_guess and getattr(model, "loss", None) is None
    if not is_guess or not isinstance(found, likelihoods.Categorical):
        return
    outputs = np.asarray(tried[0], np.float64)
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=1e-2):
        warnings.warn(
            "The model's outputs look like probabilities, and are taken for logits: pass "
            "from_logits=False to bbh.predict, or compile the model with its loss.",
            stacklevel=4,
        )
