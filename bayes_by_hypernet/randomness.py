"""Keys: every random number of a run is a pure function of (seed, step, purpose).

Stateful generators lose their place when a run is resumed, and differ between replicas. A key is
a stateless TensorFlow seed, an int32 tensor `(2,)`; folding an integer or a name into it gives an
independent key. A resumed run is then the uninterrupted one, and every replica draws the same.
"""

import zlib

import tensorflow as tf


def fold_in(key, data) -> tf.Tensor:
    """Returns the key that belongs to `data` (an integer or a name) under `key`."""
    if isinstance(data, str):
        data = zlib.crc32(data.encode()) & 0x7FFFFFFF
    data = tf.convert_to_tensor(data)
    return tf.random.experimental.stateless_fold_in(tf.cast(key, tf.int32), tf.cast(data, tf.int32))


def seed_key(seed: int) -> tf.Tensor:
    """Returns the root key `(2,)` of an integer seed of at most 62 bits."""
    return tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int32)


def derived_seed(seed: int, name: str) -> int:
    """Returns the integer seed that belongs to `name` under `seed`: itself for no name."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF if name else seed


def next_key(seed_generator):
    """Returns the next key of a `keras.random.SeedGenerator`, and advances it."""
    return tf.cast(seed_generator.next(), tf.int32)  # Keras's dtype varies with its version


def split(key, num) -> tf.Tensor:
    """Returns `num` independent keys, int32 `(num, 2)`; `num` may be a tensor."""
    return tf.map_fn(lambda i: fold_in(key, i), tf.range(num), fn_output_signature=tf.int32)


def fresh_key() -> tf.Tensor:
    """Returns a key that differs at every call and in every process, also inside a SavedModel.

    An op-level seed of zero twice means 'seed from the operating system when the kernel is made',
    and the raw op does not look at `tf.random.set_seed`.
    """
    return tf.raw_ops.RandomUniformInt(
        shape=[2], minval=0, maxval=2**31 - 1, seed=0, seed2=0
    )  # (2,)
