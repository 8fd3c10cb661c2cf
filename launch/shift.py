"""Measures finished runs on corrupted test images: error, NLL, calibration, entropy by strength.

python launch/shift.py --run=runs/map,runs/bbh
python launch/shift.py --run=runs/bbh --families=gaussian_noise,jpeg --num_images=10000

Prints tables and draws every measure against strength 0 (clean) to 5, as the mean over families of
corruptions and by family; a CSV beside the figures holds all numbers. A run's are kept in its
directory, as shift.json, after every family: the same command resumes there. A failing run does not
stop the others.
"""

import pathlib
import sys

import console
import data_flags
from absl import app, flags

from bayes_by_hypernet import files, training
from bayes_by_hypernet.data import corruptions
from bayes_by_hypernet.paper import figures, shift, tables

flags.adopt_module_key_flags(data_flags)
RUN = flags.DEFINE_list("run", None, "Directories of finished runs.", required=True)
FIGURE = flags.DEFINE_string("figure", None, "Its path; default: figures/shift of the first run.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Measure anew what was measured before.")
_SETTINGS = [  # of `shift.Shift`, by their names there; None: its default
    flags.DEFINE_list("families", None, f"Default: all, {','.join(corruptions.FAMILIES)}."),
    flags.DEFINE_integer("num_images", None, "The first so many test images; default: 2000."),
    flags.DEFINE_integer("num_samples", None, "Posterior samples; default: 50."),
    flags.DEFINE_integer("seed", None, "Of corruptions and samples; default: 42.", 0),
]  # fmt: skip


def show(records):
    """Prints the tables of records, by their runs' directories, and writes figures and CSV."""
    runs, records = figures.make_runs(records), list(records.values())
    labels = [run.label for run in runs]
    print(tables.format_table(*tables.shift_table(labels, records)))
    path = pathlib.Path(FIGURE.value or runs[0].directory / "figures" / "shift").with_suffix("")
    paths = [figures.shift_curves(runs, records, path)]
    for measure in shift.MEASURES:
        by_family = path.with_name(f"{path.name}_families_{measure}")
        paths.append(figures.shift_families(runs, records, by_family, measure))
    for measure in tables.BY_FAMILY:
        print(f"\n{tables.format_table(*tables.shift_families_table(labels, records, measure))}")
    numbers = path.with_suffix(".csv")
    files.write_text(numbers, tables.shift_csv(labels, records))
    print(f"\nNumbers: {numbers}", *(f"Figure: {drawn}" for drawn in paths), sep="\n", flush=True)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    console.start_logging()
    with console.ending("The same command goes on with the families that are left."):
        measure()


def measure():
    """Measures, prints and draws; ends the process with what failed."""
    records, failures = {}, []
    given = {flag.name: flag.value for flag in _SETTINGS if flag.value is not None}
    if "families" in given:
        given["families"] = tuple(given["families"])
    asked = shift.Shift(**given)
    for run in RUN.value:
        try:
            records[run] = shift.shift_run(run, asked, data_flags.load, OVERWRITE.value)
        except (ValueError, OSError, *training.ERRORS) as error:
            failures.append(f"{run}: {type(error).__name__}: {error}")
    if records:
        show(records)
    sys.exit("\n".join(failures) or None)


if __name__ == "__main__":
    app.run(main)
