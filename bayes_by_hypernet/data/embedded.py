"""The embedded set: digits, and letters as outliers, drawn from the fonts that matplotlib ships.

It needs no network and no download, and has MNIST's sizes and look, so that everything runs
anywhere. It is not MNIST: the three splits share their fonts and differ in their random warps only,
so test error on it measures less than on handwriting.
"""

import concurrent.futures
import contextlib
import functools
import logging
import os
import pathlib

import numpy as np
import PIL
import tqdm

from bayes_by_hypernet.cache import cache_dir
from bayes_by_hypernet.data import cache, glyphs, warps
from bayes_by_hypernet.data.examples import Dataset, Examples

logger = logging.getLogger(__name__)

NAME = "embedded"
OUTLIER_NAME = "embedded_letters"
IMAGE_SIZE = warps.IMAGE_SIZE
DEFAULT_SEED = 42
DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJ"
_VERSION = 1  # raise it with every change of the images
_CHUNK = 1000  # images drawn at a time; part of what determines the images
_SPLITS = ("train", "validation", "test", "outliers")


def load(
    num_train=55000,
    num_validation=5000,
    num_test=10000,
    num_outliers=10000,
    seed=DEFAULT_SEED,
    cache_directory=None,
):
    """Returns the embedded set, from the cache or rendered into it (about 15 s on two cores).

    The images are a function of the arguments, of this module's version and of the versions of
    matplotlib (the fonts), Pillow (their rasteriser), numpy (the random numbers) and scipy. Another
    processor may round a pixel differently; the fingerprint would tell.

    Args:
        num_train, num_validation, num_test, num_outliers: Integers, at least 1. Every class has the
            same number of images in each split, to within one.
        seed: Integer, at least 0.
        cache_directory: Folder for the rendered file. None: `cache_dir()`.

    Returns:
        `Dataset` of 28x28x1 images with ten classes.

    Raises:
        ValueError: If a number is too small.
    """
    sizes = dict(zip(_SPLITS, (num_train, num_validation, num_test, num_outliers), strict=True))
    for split, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"Argument `num_{split}` must be at least 1. Received: num_{split}={size}"
            )
    arrays = _load_or_render(sizes, seed, cache_directory)
    splits = {split: _examples(arrays, split) for split in sizes}
    return Dataset(
        name=NAME,
        outlier_name=OUTLIER_NAME,
        num_classes=len(DIGITS),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        outliers=splits["outliers"].images,
    )


def load_letters(num_outliers=10000, seed=DEFAULT_SEED, cache_directory=None):
    """Returns the embedded set's outliers alone, `(num_outliers, 28, 28, 1)` float32 in [0, 1]."""
    arrays = _load_or_render({"outliers": num_outliers}, seed, cache_directory)
    return _examples(arrays, "outliers").images


def _examples(arrays, split):
    images = arrays[f"{split}_images"].astype(np.float32) / np.float32(255)
    return Examples(images, arrays[f"{split}_labels"])


def _load_or_render(sizes, seed, cache_directory):
    """Returns a dict of `<split>_images` (uint8) and `<split>_labels` (int64) arrays."""
    import matplotlib  # for this alone, and slow to import

    folder = pathlib.Path(cache_directory) if cache_directory else cache_dir()
    versions = f"v{_VERSION}-matplotlib{matplotlib.__version__}-pillow{PIL.__version__}"
    numbers = "-".join(f"{split}{size}" for split, size in sizes.items())
    path = folder / "embedded" / f"{versions}-seed{seed}-{numbers}.npz"
    arrays = cache.load_arrays(path)
    if arrays is None:
        logger.info("Rendering the embedded set into %s.", path)
        arrays = _render(sizes, seed)
        cache.save_arrays(path, arrays)
    return arrays


def _render(sizes, seed):
    """Draws every split; each chunk has its own seed, so threads do not change the images."""
    alphabets = {split: LETTERS if split == "outliers" else DIGITS for split in sizes}
    bases = {alphabet: glyphs.render_glyphs(alphabet) for alphabet in set(alphabets.values())}
    arrays = {}
    with (
        _pool() as pool,
        tqdm.tqdm(total=sum(sizes.values()), unit=" images", desc="Rendering", leave=False) as bar,
    ):
        for split, size in sizes.items():
            label_seed, image_seed = np.random.SeedSequence([seed, _SPLITS.index(split)]).spawn(2)
            labels = np.arange(size) % len(DIGITS)
            np.random.default_rng(label_seed).shuffle(labels)
            chunks = np.split(labels, range(_CHUNK, size, _CHUNK))
            draw = functools.partial(_draw, bases[alphabets[split]])
            images = []
            for chunk in pool.map(draw, image_seed.spawn(len(chunks)), chunks):
                images.append(chunk)
                bar.update(len(chunk))
            arrays[f"{split}_images"] = np.concatenate(images)
            arrays[f"{split}_labels"] = labels.astype(np.int64)
    return arrays


@contextlib.contextmanager
def _pool():
    """Yields a pool of threads; one that is interrupted draws nothing more."""
    pool = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _draw(base, seed, labels):
    """Draws an image of each label, each in its own font."""
    rng = np.random.default_rng(seed)
    by_class = np.argsort(base.classes, kind="stable").reshape(len(DIGITS), -1)  # (10, fonts)
    fonts = rng.integers(by_class.shape[1], size=len(labels))
    return warps.draw_images(rng, base, by_class[labels, fonts])
