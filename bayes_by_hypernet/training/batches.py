"""Training batches as a function of (seed, step), so that a run can stop and resume anywhere."""

import tensorflow as tf

from bayes_by_hypernet.data.pipeline import NUM_RANDOM


def steps_per_epoch(num_examples, batch_size):
    """Returns the number of full batches of an epoch; the rest changes with every shuffle."""
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            "Argument `batch_size` must be between 1 and the number of training examples, "
            f"{num_examples}. Received: batch_size={batch_size}"
        )
    return num_examples // batch_size


def check_divides(batch_size, num_replicas):
    """Raises ValueError unless the replicas can share a batch equally."""
    if batch_size % num_replicas:
        raise ValueError(
            f"Argument `batch_size` must be divisible by the number of replicas, {num_replicas}. "
            f"Received: batch_size={batch_size}"
        )


def training_batches(
    examples, batch_size, seed, first_step, last_step, num_replicas=1, replicas=(0,), pipeline=None
):
    """Returns a `tf.data.Dataset` of the batches of steps `first_step` to `last_step - 1`.

    Epoch e visits the examples in a permutation that (seed, e) decides. With several replicas
    every global batch is divided among them in order, so that its examples do not depend on their
    number; the elements are the parts of this worker's `replicas`, one after the other.

    Args:
        examples: `Examples`, images `(N, height, width, channels)` and labels `(N,)`.
        batch_size: Global batch size, divisible by `num_replicas`.
        seed: Integer.
        first_step, last_step: Global steps, counted from 0.
        num_replicas: Number of replicas in all.
        replicas: Indices of this worker's replicas.
        pipeline: `Pipeline` that turns images into inputs, or None: they are. What it does at
            random depends on (seed, step) and the place in the global batch.

    Returns:
        Dataset of `(images, labels)`, `(batch_size / num_replicas, ...)`.
    """
    num_examples = len(examples.labels)
    num_steps = steps_per_epoch(num_examples, batch_size)
    check_divides(batch_size, num_replicas)
    parts = (num_replicas, batch_size // num_replicas)

    def epoch_batches(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_examples), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        batches = tf.reshape(order[: num_steps * batch_size], (num_steps, *parts))
        return tf.data.Dataset.from_tensor_slices(tf.gather(batches, list(replicas), axis=1))

    def random_numbers(step):
        key = tf.stack([tf.constant(seed, tf.int64), step])
        key = tf.random.experimental.stateless_fold_in(key, 1)  # not the key of a shuffle
        numbers = tf.random.stateless_uniform((batch_size, NUM_RANDOM), key)
        return tf.gather(tf.reshape(numbers, (*parts, NUM_RANDOM)), list(replicas))

    def take(indices, numbers):
        # From the arrays: a tensor of all images would take their memory once more, or twice.
        images, labels = (
            tf.ensure_shape(
                tf.numpy_function(array.__getitem__, [indices], array.dtype, stateful=False),
                (*indices.shape, *array.shape[1:]),
            )
            for array in (examples.images, examples.labels)
        )
        if pipeline is not None:
            images = pipeline.training_inputs(images, numbers)
        return images, labels

    epochs = tf.data.Dataset.range(first_step // num_steps, -(-last_step // num_steps))
    batches = epochs.flat_map(epoch_batches).skip(first_step % num_steps)
    steps = tf.data.Dataset.range(first_step, last_step)
    batches = tf.data.Dataset.zip(batches, steps.map(random_numbers)).unbatch()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.map(take).prefetch(tf.data.AUTOTUNE).with_options(options)
