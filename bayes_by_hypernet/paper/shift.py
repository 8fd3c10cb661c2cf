"""Finished runs on corrupted test images: what is left of accuracy, calibration and certainty.

The paper has no such experiment. It follows Ovadia et al., 'Can You Trust Your Model's Uncertainty?
Evaluating Predictive Uncertainty Under Dataset Shift' (NeurIPS 2019), with the corruptions of
`data.corruptions`.
"""

import dataclasses
import json
import pathlib
from importlib import metadata

import keras
import numpy as np
import tqdm

from bayes_by_hypernet import metrics, randomness
from bayes_by_hypernet.checks import check_choice, check_integer
from bayes_by_hypernet.data.corruptions import FAMILIES, NUM_STRENGTHS, corrupt
from bayes_by_hypernet.paper import protocols, schema
from bayes_by_hypernet.paper.attacks import keep
from bayes_by_hypernet.paper.posterior import load
from bayes_by_hypernet.paper.run_directory import RESULTS_FILE
from bayes_by_hypernet.prediction import Predictor, sufficient_samples

RECORD_FILE = "shift.json"  # in a run's folder
# Name of a measure to what it is called beside its values.
MEASURES = {
    "error_percent": "error [%]",
    "nll": "NLL [nats]",
    "ece": "ECE",
    "relative_entropy": "mean entropy / log C",
}
_LIBRARIES = ("numpy", "scipy", "pillow")  # that decide the bits of a corruption


@dataclasses.dataclass(frozen=True)
class Shift:
    """Which corruptions, and the settings that decide a run's numbers on them.

    Attributes:
        families: Names of families of corruptions.
        num_images: How many images are corrupted: the first of the test set.
        num_samples: Posterior samples of a prediction.
        seed: Integer, of the corruptions and the posterior samples.

    Raises:
        ValueError: If there is no family or one is unknown, or a number is out of range.
    """

    families: tuple = tuple(FAMILIES)
    num_images: int = 2000
    num_samples: int = 50
    seed: int = protocols.SEED

    def __post_init__(self):
        if not self.families:
            raise ValueError("Argument `families` must hold at least one name. Received: none")
        for family in self.families:
            check_choice("families", family, tuple(FAMILIES))
        for name, least in (("num_images", 1), ("num_samples", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), least)

    @property
    def settings(self):
        """Dict of what decides a run's numbers on a family, besides run and family."""
        names = ("num_images", "num_samples", "seed")
        return {name: getattr(self, name) for name in names}


class _Measurement:
    """Measures one posterior on the corrupted images that a `Shift` asks for."""

    def __init__(self, posterior, test, shift):
        if shift.num_images > len(test):
            raise ValueError(
                f"Argument `num_images` must be between 1 and {len(test)}, the number of test "
                f"images. Received: num_images={shift.num_images}"
            )
        self._seed = shift.seed
        self._images = test.images[: shift.num_images]
        self._labels = test.labels[: shift.num_images]
        self._pipeline = posterior.config.pipeline
        self._predictor = Predictor(posterior)
        self._num_samples = sufficient_samples(posterior, shift.num_samples)
        # The key of a run's own predictions, the same for every strength: differences between
        # them are of the images and not of the samples.
        self._key = randomness.fold_in(randomness.seed_key(shift.seed), "evaluation")

    def point(self, family, strength):
        """Returns a dict, the strength and the measures."""
        images = corrupt(self._images, family, strength, self._seed)
        inputs = self._pipeline.inputs(images)
        (mean, _), _ = self._predictor(inputs, self._num_samples, self._key)
        return {
            "strength": strength,
            "error_percent": metrics.error_percent(mean, self._labels),
            "nll": metrics.negative_log_likelihood(mean, self._labels),
            "ece": metrics.expected_calibration_error(mean, self._labels),
            "relative_entropy": 1 - metrics.entropy_auc(mean),
        }


def shift_run(directory, shift, load_data, overwrite=False):
    """Measures a finished run on corrupted test images, or reads what was measured before.

    The record in the run's folder is written after every family, so that an interrupted
    measurement resumes there. Families of earlier calls stay where the settings are the same.

    Args:
        directory: Folder of the run, where the record is kept as `shift.json`.
        shift: `Shift`.
        load_data: Function of a `RunConfig` and the fingerprint of the run's data that returns the
            `Dataset`; called where something has to be measured.
        overwrite: Whether to measure everything anew.

    Returns:
        Dict, the record: the settings; `run`, the run's results; `clean`, the dict of the measures
        without corruption; `families`, for each of `shift.families` a dict of `values` (what
        strengths 1 to 5 mean), `versions` of libraries, and `points`, the dicts of the measures.

    Raises:
        ValueError: If there are fewer test images than asked for, or as `load_data`.
        OSError, CheckpointError: If the folder holds no finished run, or its posterior is damaged.
    """
    directory = pathlib.Path(directory)
    results = schema.read_results(directory / RESULTS_FILE)
    path = directory / RECORD_FILE
    settings = {**shift.settings, "run": results}
    record = _begin(settings, path, overwrite)
    families = record["families"]
    missing = [family for family in shift.families if family not in families]
    if missing:
        keras.utils.clear_session()  # frees the posterior of the run before
        posterior = load(directory)
        test = load_data(posterior.config, results["data_fingerprint"]).test
        measurement = _Measurement(posterior, test, shift)
        versions = {library: metadata.version(library) for library in _LIBRARIES}
        total = (record["clean"] is None) + NUM_STRENGTHS * len(missing)
        with tqdm.tqdm(total=total, desc=str(directory), unit="set") as bar:
            if record["clean"] is None:
                record["clean"] = measurement.point(missing[0], 0)
                bar.update()
            for family in missing:
                bar.set_postfix_str(family)
                points = []
                for strength in range(1, NUM_STRENGTHS + 1):
                    points.append(measurement.point(family, strength))
                    bar.update()
                values = list(FAMILIES[family].values)
                families[family] = {"values": values, "versions": versions, "points": points}
                # Another process may have measured further families.
                families |= {**_begin(settings, path, False)["families"], **families}
                keep(path, record)
    return {**record, "families": {family: families[family] for family in shift.families}}


def _begin(settings, path, overwrite):
    """Returns the record that is there, without what no longer holds, or an empty one."""
    settings = json.loads(json.dumps(settings))  # as in a file
    record = None if overwrite else read_record(path)
    empty = {"schema_version": schema.SCHEMA_VERSION, **settings, "clean": None, "families": {}}
    if record is None or not settings.items() <= record.items():
        return empty
    families = {
        name: family
        for name, family in record["families"].items()
        if name in FAMILIES and family["values"] == list(FAMILIES[name].values)
    }
    return {**empty, "clean": record["clean"], "families": families}


def read_record(path) -> dict | None:
    """Returns what `shift_run` wrote; None where there is none, or it is damaged."""
    names = {"num_images": int, "num_samples": int, "seed": int}
    return schema.read_record(path, {**names, "run": dict, "clean": dict, "families": dict})


def curve(record, measure, family=None):
    """Returns a measure at strengths 0 to 5, `(6,)`.

    Args:
        record: What `shift_run` returned.
        measure: Name of one of `MEASURES`.
        family: Name of a family; None: the mean over the record's families.
    """
    chosen = [family] if family else record["families"]
    corrupted = [
        [point[measure] for point in record["families"][name]["points"]] for name in chosen
    ]
    return np.array([record["clean"][measure], *np.mean(corrupted, axis=0)])
