"""The toy regression's data: the protocol's numbers, repeatable, each in its region."""

import numpy as np

from bayes_by_hypernet.data import toy


def _noise(examples):
    x, y = examples.images.astype(np.float64), examples.labels.astype(np.float64)
    return y - x**3


def test_numbers_and_regions():
    data = toy.load(0)
    assert [len(examples) for examples in data] == [20, 200, 200]
    for examples in data:
        assert examples.images.shape == examples.labels.shape == (len(examples), 1)
        assert examples.images.dtype == examples.labels.dtype == np.float32
    distances = [np.abs(examples.images) for examples in data]
    assert distances[0].max() <= 4 and distances[1].max() <= 4
    assert 4 <= distances[2].min() and distances[2].max() <= 6


def test_points_are_uniform_on_both_sides():
    examples = [toy.load(seed) for seed in range(50)]
    inside = np.concatenate([data.inside.images for data in examples])
    outside = np.concatenate([data.outside.images for data in examples])
    edges = np.linspace(-6, 6, 13)
    # Of 10,000 points 1,250 in each of eight intervals, 2,500 in each of four: 5 standard errors.
    np.testing.assert_allclose(np.histogram(inside, edges)[0][2:10], 1250, atol=165)
    counts = np.histogram(outside, edges)[0]
    np.testing.assert_allclose(counts[[0, 1, 10, 11]], 2500, atol=217)
    assert not counts[2:10].any()


def test_the_noise_has_mean_0_and_standard_deviation_3_everywhere():
    for region in ("inside", "outside"):
        noise = np.concatenate([_noise(getattr(toy.load(seed), region)) for seed in range(50)])
        # Five standard errors of 10,000 values; float32's rounding of 216 is 1e-5.
        assert abs(noise.mean()) < 5 * 3 / np.sqrt(10_000)
        assert abs(noise.std() - 3) < 5 * 3 / np.sqrt(2 * 10_000)


def test_a_seed_is_the_same_data_again():
    first, again, other = toy.load(1), toy.load(1), toy.load(2)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert (a.images != c.images).any() and (a.labels != c.labels).any()
