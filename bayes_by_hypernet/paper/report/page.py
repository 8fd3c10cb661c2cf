"""Writes the page: sections of tables and figures, filled into `page.html`."""

import pathlib

import jinja2

from bayes_by_hypernet import files
from bayes_by_hypernet.paper import figures, methods, shift, tables, toy_regression
from bayes_by_hypernet.paper.report import illustrations
from bayes_by_hypernet.paper.shift import RECORD_FILE


def write_report(found, folder, toys=(), **choice):
    """Writes a page of runs, `index.html`, and each of its figures as PNG and PDF.

    What a run's folder does not hold is left out, and named at the end of the page.

    Args:
        found: What `tables.find_runs` found.
        folder: Of the page, made where it is missing.
        toys: Folders of the toy regression's results.
        **choice: What `tables.make_tables` takes besides the runs.

    Returns:
        Path of the page.
    """
    found, folder = tables.in_paper_order(found), pathlib.Path(folder)
    images = folder / "figures"
    with files.writing(images):
        images.mkdir(parents=True, exist_ok=True)
    paths = list(found)
    labels = [tables.label_of(found[path], path.parent) for path in paths]
    runs = figures.make_runs([path.parent for path in paths], labels)
    contents = {
        "tables": [*_tables(found, images, choice), *_others(found, images)],
        "attacks": illustrations.of_attacks(found, images),
        "shifts": list(_shifts(found, images)),
        "posterior": _posterior(runs),
        "posterior_figures": illustrations.of_posteriors(runs, images),
        "examples": illustrations.of_examples(runs, images),
        "toys": [_toy(directory, number, images) for number, directory in enumerate(toys)],
        "runs": [(run, _settings(run)) for run in runs],
        "reasons": {path.parent: reason for path, reason in tables.unplaced(found).items()},
        "missing": {run: _missing(run) for run in runs if _missing(run)},
        "protocols": sorted({run.results["protocol"] for run in runs}),
        "fallbacks": sorted({run.results["fallback_reason"] for run in runs} - {None}),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bayes_by_hypernet.paper.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    path = folder / "index.html"
    files.write_text(path, environment.get_template("page.html").render(contents))
    return path


def _tables(found, folder, choice):
    """Yields title, description, header, rows and figures of each of the paper's tables."""
    directories = {id(results): path.parent for path, results in found.items()}
    for table in tables.make_tables(found.values(), **choice):
        lines = [line for line in table.lines if line.runs]
        if lines:
            labels = [line.row.tables[table.number].label for line in lines]
            # Of several seeds the figures show the first.
            runs = figures.make_runs([directories[id(line.runs[0])] for line in lines], labels)
            group = table.group
            name = f"table{table.number}_{group.dataset}_{group.protocol}_{group.data_fingerprint}"
            drawn = illustrations.of_runs(runs, name, folder)
            yield table.title, table.description, table.header, table.rows, drawn


def _others(found, folder):
    """Yields the same of the runs that stand in none of them, a table for each data set."""
    unplaced = tables.unplaced(found)
    for dataset in sorted({found[path]["dataset"] for path in unplaced}):
        shown = [path for path in unplaced if found[path]["dataset"] == dataset]
        labels = [path.parent.name for path in shown]
        runs = figures.make_runs([path.parent for path in shown], labels)
        drawn = illustrations.of_runs(runs, f"others_{dataset}", folder)
        table = tables.measures_table((run.label, run.results) for run in runs)
        description = (
            "Their settings are of no row of the paper; each says below in what it differs."
        )
        yield f"Other runs on {dataset.replace('_', ' ')}", description, *table, drawn


def _shifts(found, folder):
    """Yields description, tables and figures of the runs on corrupted test images."""
    for number, shifted in enumerate(tables.find_shifts(found), start=1):
        shown = shifted.labels, list(shifted.records.values())
        grids = [tables.shift_table(*shown)]
        grids += [tables.shift_families_table(*shown, measure) for measure in tables.BY_FAMILY]
        yield shifted.about, grids, illustrations.of_shift(shifted, number, folder)


def _posterior(runs):
    """Returns header and rows of the runs whose posterior was examined, or None."""
    summaries = [(run.label, tables.read_posterior(run.directory)) for run in runs]
    summaries = [(label, summary) for label, summary in summaries if summary]
    return tables.posterior_table(summaries) if summaries else None


def _toy(directory, number, folder):
    """Returns the figure and the table of one folder of the toy regression."""
    numbers = toy_regression.Results(directory).numbers
    numbers = [
        (methods.get(name).label, numbers[name]) for name in methods.METHODS if name in numbers
    ]
    return illustrations.of_toy(directory, number, folder), tables.toy_table(numbers)


def _settings(run):
    """Returns a run's settings, measures, machine and versions, by name."""
    results = {name: value for name, value in run.results.items() if name != "config"}
    results |= {f"{name} version": text for name, text in results.pop("versions").items()}
    return {name: value for name, value in results.items() if value is not None}


def _missing(run):
    """Returns what a run's folder does not hold."""
    makers = {
        "its history and curves (made by the launcher that trains)": run.curves and run.histories,
        "attacks (launch/adversarial.py)": any(run.directory.glob(tables.ATTACKS)),
        "corrupted test images (launch/shift.py)": shift.read_record(run.directory / RECORD_FILE),
        "the posterior's statistics (launch/posterior.py)": tables.read_posterior(run.directory),
        "example images (made by the launcher that trains)": (
            run.directory / "figures" / "examples.png"
        ).exists(),
    }
    return [name for name, there in makers.items() if not there]
