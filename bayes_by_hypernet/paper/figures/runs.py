"""What figures are drawn from: a finished run's files, its name, its colour and its line."""

import dataclasses
import functools
import logging
import pathlib

from bayes_by_hypernet import files
from bayes_by_hypernet.paper import methods, schema
from bayes_by_hypernet.paper.figures import style
from bayes_by_hypernet.paper.run_directory import CURVES_FILE, RESULTS_FILE, read_curves
from bayes_by_hypernet.training.progress import read_history

logger = logging.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class Run:
    """A finished run, as figures show it.

    Attributes:
        directory: `pathlib.Path` of the run directory.
        label: What legends call it; default: the method's name.
        line: Line style, which tells it from other runs of its method and so of its colour.
    """

    directory: pathlib.Path
    label: str | None = None
    line: str = style.LINES[0]

    def __post_init__(self):
        self.directory = pathlib.Path(self.directory)
        self.label = self.label or methods.get(self.results["method"]).label

    @property
    def colour(self):
        """The method's."""
        return methods.get(self.results["method"]).colour

    @functools.cached_property
    def results(self):
        """The contents of `results.json`, which every run holds."""
        return schema.read_results(self.directory / RESULTS_FILE)

    @functools.cached_property
    def curves(self):
        """What `experiment.curves` said of the predictions, or None where it can't be read."""
        return self._read(CURVES_FILE, read_curves)

    @functools.cached_property
    def histories(self):
        """A list of the epochs' dicts for each member; empty where they were not kept."""
        paths = sorted(self.directory.glob("history*.jsonl"))
        return [epochs for epochs in map(read_history, paths) if epochs]

    def read(self, name):
        """Returns the contents of a JSON file of the run, or None where it can't be read."""
        return self._read(name, schema.read)

    def _read(self, name, read):
        try:
            return read(self.directory / name)
        except FileNotFoundError:
            return None
        except files.DamagedFileError as error:
            logger.warning("%s", error)
            return None


def make_runs(directories, labels=None):
    """Returns a `Run` for each directory, those of one method told apart by lines and labels.

    Args:
        directories: Paths of run directories that hold results.
        labels: What legends call them; None: the method's name, with the directory's where there
            are several runs of the method.
    """
    runs = [Run(directory) for directory in directories]
    methods = [run.results["method"] for run in runs]
    labels = labels or distinct_labels([run.label for run in runs], directories)
    for i, (run, label) in enumerate(zip(runs, labels, strict=True)):
        run.label = label
        run.line = style.LINES[methods[:i].count(methods[i]) % len(style.LINES)]
    return runs


def distinct_labels(labels, directories):
    """Returns labels, those that several runs share with the names of the runs' directories."""
    return [
        f"{label} ({pathlib.Path(directory).resolve().name})" if labels.count(label) > 1 else label
        for label, directory in zip(labels, directories, strict=True)
    ]
