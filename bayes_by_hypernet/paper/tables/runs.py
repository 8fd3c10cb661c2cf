"""Matches runs to rows of the paper, and averages several runs of a row."""

import json
import logging
import pathlib
import statistics
from typing import NamedTuple

from bayes_by_hypernet import files
from bayes_by_hypernet.paper import methods, networks, protocols, schema
from bayes_by_hypernet.paper.configuration import METHOD_OPTIONS
from bayes_by_hypernet.paper.run_directory import RESULTS_FILE
from bayes_by_hypernet.paper.tables.paper import DATA, PAPER_ROWS, PaperRow

logger = logging.getLogger(__name__)

NO_RUN = "no run"  # what a table says of a row without one
# What tells the rows of one method apart; all else in which a run differs is a deviation.
_ROW_OPTIONS = ("architecture", "noise", "noise_dim", "kl_estimator")


class Group(NamedTuple):
    """What runs have to share before one number may speak of them: protocol, network and data."""

    protocol: str
    network: str = "lenet"
    dataset: str = "mnist"
    outlier_dataset: str = "notmnist"
    data_fingerprint: str | None = None

    @classmethod
    def of(cls, results):
        """Returns the group of a run."""
        return cls(*(results.get(name) for name in cls._fields))

    @classmethod
    def of_paper(cls, protocol, network):
        """Returns the group of the paper's rows of a network."""
        data = DATA[network]
        return cls(protocol, network, data.name, data.outlier_name)

    @property
    def has_paper_data(self):
        """Whether its runs were trained and measured on what the paper's were."""
        return (self.dataset, self.outlier_dataset) == DATA[self.network][1:]


class Spread(NamedTuple):
    """Mean over runs, and their standard deviation (n - 1); None where there is one run."""

    mean: float
    stddev: float | None

    def text(self, decimals, sign=" ± "):
        """Returns `1.46` or `1.46 ± 0.05`."""
        parts = [self.mean] if self.stddev is None else [self.mean, self.stddev]
        return sign.join(f"{part:.{decimals}f}" for part in parts)


class Line(NamedTuple):
    """A row of the paper with our runs of it in one group.

    Attributes:
        row: `PaperRow`.
        group: `Group`.
        runs: List of `results.json` contents, by seed; empty where the row was not run.
        step_ms: Milliseconds of a training step on an idle machine, or None.
        step_ratio: `step_ms` divided by that of `map`, or None.
    """

    row: PaperRow
    group: Group
    runs: list
    step_ms: float | None = None
    step_ratio: float | None = None

    def spread(self, name) -> Spread:
        """Returns mean and standard deviation of a measure over the runs, of which there is one."""
        values = [run[name] for run in self.runs]
        return Spread(statistics.fmean(values), statistics.stdev(values) if values[1:] else None)

    @property
    def seeds(self) -> str:
        """`42, 43`, or nothing without runs."""
        return ", ".join(str(run["seed"]) for run in self.runs)

    @property
    def hardware(self) -> list[str]:
        """The machines that the runs were trained on."""
        return sorted({run["hardware"] for run in self.runs})


def find_runs(directory) -> dict[pathlib.Path, dict]:
    """Returns the results of every complete run below a folder, by path.

    Files that are damaged, or of a later version of the package, are left out after a warning.
    """
    found = {}
    for path in sorted(pathlib.Path(directory).rglob(RESULTS_FILE)):
        try:
            results = schema.read_results(path)
        except (files.DamagedFileError, schema.SchemaError) as error:
            logger.warning("Left out: %s", error)
            continue
        if results.get("complete"):
            found[path] = results
    return found


def in_paper_order(found: dict) -> dict:
    """Returns what `find_runs` found with runs in the order of the paper's rows, others last."""
    labels = [row.label for row in PAPER_ROWS]

    def place(item):
        path, results = item
        label = label_of(results, path.parent)
        return (labels.index(label) if label in labels else len(labels), path)

    return dict(sorted(found.items(), key=place))


def label_of(results: dict, directory) -> str:
    """Returns the label of the paper's row that a run is, or else its folder's name."""
    row = paper_row(results)
    is_row = row is not None and not deviations(row, results)
    return row.label if is_row else pathlib.Path(directory).name


def paper_row(results: dict) -> PaperRow | None:
    """Returns the row with a run's architecture, noise and estimator, or None."""
    for row in PAPER_ROWS:
        if (row.network, row.method) == (results["network"], results["method"]):
            settings = row.settings(results["protocol"])
            if all(settings.get(name) == results.get(name) for name in _ROW_OPTIONS):
                return row
    return None


def deviations(row: PaperRow, results: dict) -> dict:
    """Returns the settings in which a run differs from a row under the run's protocol.

    Any seed and any data set is the row's. A setting that older results do not name is its default.
    """
    method = methods.get(row.method)
    plan = protocols.get(row.network, results["protocol"])
    expected = {
        **_step_settings(row, results["protocol"]),
        "epochs": plan.epochs,
        "learning_rate": method.learning_rate,
        "annealing_start_epoch": plan.annealing_start_epoch if method.anneals_kl else None,
        "annealing_epochs": plan.annealing_epochs if method.anneals_kl else None,
        "num_predictive_samples": protocols.NUM_PREDICTIVE_SAMPLES,
        "temperature": 1.0,
        "max_train_examples": None,
        "batch_norm": _batch_norm(row),
    }
    return _differences(expected, results)


def groups(runs) -> list[Group]:
    """Returns the groups of the runs that are rows, the paper's protocol and data first."""
    found = {Group.of(run) for run in runs if _is_row(run)}
    order = ["paper", "quick", "demo"]
    return sorted(found, key=lambda g: (not g.has_paper_data, order.index(g.protocol), str(g)))


def paper_groups(runs, protocol: str, network: str) -> list[Group]:
    """Returns the groups of a protocol and a network on the paper's data."""
    wanted = Group.of_paper(protocol, network)
    return [group for group in groups(runs) if group._replace(data_fingerprint=None) == wanted]


def lines_of(group: Group, runs, step_times=(), table=None) -> list[Line]:
    """Returns the rows of a table with the runs that a group has of them.

    Args:
        group: `Group`.
        runs: `results.json` contents, any number and order; files with equal contents count once.
        step_times: See `read_step_times`.
        table: Number of the table; None: of all tables of the group's network.
    """
    matching = []
    for run in sorted(runs, key=lambda run: run["seed"]):
        if Group.of(run) == group and run not in matching and _is_row(run):
            matching.append(run)
    rows = [row for row in rows_of(group.network) if table is None or table in row.tables]
    return [
        Line(
            row,
            group,
            [run for run in matching if paper_row(run) is row],
            *_step_time(row, group.protocol, step_times),
        )
        for row in rows
    ]


def rows_of(network: str) -> list[PaperRow]:
    """Returns the rows of a network."""
    return [row for row in PAPER_ROWS if row.network == network]


def unplaced(runs: dict) -> dict:
    """Returns why runs stand in no table: path to a clause, for those that don't."""
    reasons = {}
    for path, run in runs.items():
        row = paper_row(run)
        if row is None:
            reasons[path] = "no row of the paper has these settings"
        elif changed := deviations(row, run):
            changed = ", ".join(f"{name}={value}" for name, value in changed.items())
            reasons[path] = f"{row.label!r}, but with {changed}"
    return reasons


def read_step_times(path) -> list[dict]:
    """Returns the step times that `benchmarks/train_step.py` measured; none without the file.

    The file holds `{"steps": [{...}, ...]}`, and each entry a configuration (`RunConfig.flat`) and
    its `ms_per_step`.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    steps = files.read_json(path).get("steps")
    if not isinstance(steps, list):
        raise files.damaged(path, "it has no steps", "benchmarks/train_step.py makes it again.")
    return steps


def _is_row(run):
    row = paper_row(run)
    return row is not None and not deviations(row, run)


def _step_settings(row, protocol):
    """Returns the settings of a row that decide how long one training step takes."""
    settings = {**dict.fromkeys(METHOD_OPTIONS), **row.settings(protocol)}
    return {**settings, "network": row.network, "batch_size": protocols.BATCH_SIZE}


def _batch_norm(row):
    """Returns the statistics by which a row's network normalises, or None."""
    method = methods.get(row.method)
    if networks.get(row.network).batch_norm is None:
        return None
    return method.authors_batch_norm(method.Options(**row.options))


def _differences(expected, given):
    expected = json.loads(json.dumps(expected))  # as read from a file: lists, no tuples
    # Missing settings count as defaults: they did not exist when the results were made.
    return {
        name: given[name] for name in expected if name in given and given[name] != expected[name]
    }


def _step_time(row, protocol, step_times):
    """Returns milliseconds per step and the ratio to `map`, None where they were not measured."""
    ours = _step_ms(row, protocol, step_times)
    [baseline] = [other for other in rows_of(row.network) if other.method == "map"]
    reference = _step_ms(baseline, protocol, step_times)
    return ours, ours / reference if ours and reference else None


def _step_ms(row, protocol, step_times):
    for entry in step_times:
        if (entry["network"], entry["method"]) == (row.network, row.method):
            if not _differences(_step_settings(row, protocol), entry):
                return entry["ms_per_step"]
    return None
