"""Keys are pure functions of what they are made of; only a fresh key is not."""

import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import randomness

KEY = tf.constant([11, 22], tf.int32)


class TestFoldIn:
    def test_is_a_function_of_key_and_data(self):
        np.testing.assert_array_equal(randomness.fold_in(KEY, 3), randomness.fold_in(KEY, 3))
        other = tf.constant([11, 23], tf.int32)
        assert (randomness.fold_in(KEY, 3) != randomness.fold_in(other, 3)).numpy().any()

    def test_every_integer_and_name_has_a_key_of_its_own(self):
        data = [*range(200), "noise", "prior", "epoch"]
        keys = {tuple(randomness.fold_in(KEY, d).numpy()) for d in data}
        assert len(keys) == len(data)
        assert all(key != tuple(KEY.numpy()) for key in keys)

    def test_a_name_is_the_same_in_every_process(self):
        # Python's own hash of a string is not: it is salted.
        expected = randomness.fold_in(KEY, zlib.crc32(b"noise") & 0x7FFFFFFF)
        np.testing.assert_array_equal(randomness.fold_in(KEY, "noise"), expected)

    @pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
    def test_eager_and_compiled_and_number_and_tensor_agree(self, dtype):
        expected = randomness.fold_in(KEY, 5)
        assert (expected.dtype, expected.shape) == (tf.int32, (2,))
        compiled = tf.function(randomness.fold_in)
        np.testing.assert_array_equal(compiled(KEY, tf.constant(5, dtype)), expected)
        np.testing.assert_array_equal(
            randomness.fold_in(tf.cast(KEY, tf.int64), tf.constant(5, dtype)), expected
        )


class TestSeedKey:
    def test_by_hand(self):
        np.testing.assert_array_equal(randomness.seed_key(42), [42, 0])
        np.testing.assert_array_equal(randomness.seed_key((7 << 31) + 42), [42, 7])

    def test_large_and_negative_seeds_are_allowed(self):
        seeds = [0, 1, -1, 2**31 - 1, 2**31, 2**61]
        assert len({tuple(randomness.seed_key(seed).numpy()) for seed in seeds}) == len(seeds)


class TestSplit:
    def test_key_i_is_folded_from_i(self):
        keys = randomness.split(KEY, tf.constant(4))
        assert (keys.dtype, keys.shape) == (tf.int32, (4, 2))
        for i, key in enumerate(keys):
            np.testing.assert_array_equal(key, randomness.fold_in(KEY, i))

    def test_more_keys_begin_with_the_same_ones(self):
        np.testing.assert_array_equal(randomness.split(KEY, 6)[:4], randomness.split(KEY, 4))


class TestNextKey:
    def test_advances_the_generator_and_repeats_with_its_seed(self):
        a, b = keras.random.SeedGenerator(2**32 - 1), keras.random.SeedGenerator(2**32 - 1)
        keys = [randomness.next_key(a).numpy() for _ in range(3)]
        assert all(key.shape == (2,) and key.dtype == np.int32 for key in keys)
        assert len({tuple(key) for key in keys}) == 3
        np.testing.assert_array_equal(keys, [randomness.next_key(b) for _ in range(3)])


class TestFreshKey:
    def test_differs_at_every_call_whatever_seed_was_set(self):
        keys = []
        compiled = tf.function(randomness.fresh_key)
        for draw in (randomness.fresh_key, compiled, compiled):
            for _ in range(2):
                tf.random.set_seed(1)
                keys.append(tuple(draw().numpy()))
        assert len(set(keys)) == len(keys)  # two of six collide with probability 15 / 2^62
