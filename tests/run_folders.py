"""Folders of finished runs with what figures are drawn from; the measures are of real runs."""

import json
from pathlib import Path

import numpy as np

from bayes_by_hypernet import metrics
from bayes_by_hypernet.data.corruptions import FAMILIES
from bayes_by_hypernet.likelihoods import Categorical
from bayes_by_hypernet.paper import experiment

COMMITTED = Path(__file__).resolve().parents[1] / "results" / "mnist" / "quick"


def make(folder, name, concentration=0.1, num_epochs=3, **changes):
    """Writes the folder of a run.

    Args:
        folder: Path.
        name: Of a committed run, whose results these are.
        concentration: Of the Dirichlet distribution of predictions; of outliers ten times as much.
        num_epochs: Of the history.
        **changes: Of the results.

    Returns:
        The predictions of test set and outliers, and the labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {**json.loads((COMMITTED / name / "results.json").read_text()), **changes}
    (folder / "results.json").write_text(json.dumps(results))
    rng = np.random.default_rng(0)
    test, outliers = (
        rng.dirichlet(np.full(10, c), 300) for c in (concentration, 10 * concentration)
    )
    labels = np.where(rng.random(300) < 0.9, test.argmax(axis=1), 0)
    predictions = [
        Categorical().prediction([probs, metrics.predictive_entropy(probs)])
        for probs in (test, outliers)
    ]
    (folder / "curves.json").write_text(json.dumps(experiment.curves(*predictions, labels)))
    np.savez(folder / "predictions.npz", test_mean=test, outlier_mean=outliers)
    for member in range(2 if results["method"] == "ensemble" else 1):
        epochs = [
            {"epoch": k, "nll": (1 + member) / k, "kl_per_example": 0.0}
            for k in range(1, num_epochs + 1)
        ]
        text = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
        (folder / f"history_{member}.jsonl").write_text(text)
    return test, outliers, labels


def shift_record(folder, slopes, **settings):
    """Writes what launch/shift.py would of the run in a folder, and returns it.

    Args:
        folder: Of the run.
        slopes: Dict, name of a family to what each strength adds to the error, in percent; to the
            NLL, ECE and relative entropy it adds a hundredth of that.
        **settings: Of the measurement.
    """

    def point(strength, slope):
        part = strength * slope / 100
        measures = {"error_percent": 1 + 100 * part, "nll": 0.5 + part, "ece": part}
        return {"strength": strength, **measures, "relative_entropy": part}

    record = {"schema_version": 1, "num_images": 2000, "num_samples": 50, "seed": 42, **settings}
    record["run"] = json.loads((folder / "results.json").read_text())
    record["clean"] = point(0, 0)
    record["families"] = {
        name: {
            "values": list(FAMILIES[name].values),
            "versions": {},
            "points": [point(strength, slope) for strength in range(1, 6)],
        }
        for name, slope in slopes.items()
    }
    (folder / "shift.json").write_text(json.dumps(record))
    return record
