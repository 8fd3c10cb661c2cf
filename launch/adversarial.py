"""Attacks finished runs, and draws what is left of their accuracy and certainty (Fig. 3 and 4).

python launch/adversarial.py --run=runs/map,runs/bbh --attack=projected_gradient

A run's numbers are kept in its directory, as adversarial_<attack>.json; one that has them with the
same settings is not attacked again. A failing run does not stop the others.
"""

import pathlib
import sys

import console
import data_flags
from absl import app, flags

from bayes_by_hypernet import training
from bayes_by_hypernet.attacks import AVERAGES
from bayes_by_hypernet.paper import attacks, figures, tables
from bayes_by_hypernet.paper.attacks import attack_run

flags.adopt_module_key_flags(data_flags)
RUN = flags.DEFINE_list("run", None, "Directories of finished runs.", required=True)
ATTACK = flags.DEFINE_enum("attack", "fast_sign", list(attacks.ATTACKS), "Attack.")
FIGURE = flags.DEFINE_string("figure", None, "Its path; default: below figures/ of the first run.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Attack anew what was attacked before.")


class Numbers(flags.ListParser):
    def parse(self, argument):
        return tuple(map(float, super().parse(argument)))


_SETTINGS = [  # of the attack, by their names there; None: its default
    flags.DEFINE_enum("average", None, AVERAGES, "fast_sign's; default: examples."),
    flags.DEFINE(Numbers(), "epsilons", None, "In units of the network's inputs; default: 0 to 0.4 "
        "in steps of 0.05, projected_gradient: 0.1,0.2,0.3."),
    flags.DEFINE_integer("num_images", None, "The first so many test images; default: 1000."),
    flags.DEFINE_integer("num_samples", None, "Default: 100, projected_gradient: 10."),
    flags.DEFINE_bool("clip_adversarial", None, "Clip to [0, 1]; not where inputs are "
        "standardised."),
    flags.DEFINE_integer("seed", None, "Of everything random; default: 42.", 0),
]  # fmt: skip


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    console.start_logging()
    with console.ending("Rerun the command to do the remaining runs."):
        attack_runs()


def attack_runs():
    """Attacks, prints and draws; ends the process with what failed."""
    records, failures, rows = {}, [], []
    given = {flag.name: flag.value for flag in _SETTINGS if flag.value is not None}
    attack = attacks.make(ATTACK.value, **given)
    for run in RUN.value:
        try:
            records[run] = attack_run(run, attack, data_flags.load, OVERWRITE.value)
        except (ValueError, OSError, *training.ERRORS) as error:
            failures.append(f"{run}: {type(error).__name__}: {error}")
    for run, record in records.items():
        label = [run, record["run"]["method"]]
        rows += [[*label, *(f"{v:.3f}" for v in point.values())] for point in record["points"]]
    if records:
        header = ["Run", "Method", "Epsilon", "Accuracy", "Relative entropy"]
        default = pathlib.Path(next(iter(records)), "figures", attack.record_name)
        print(tables.format_table(header, rows))
        shown = figures.make_runs(records), list(records.values())
        print(f"Figure: {figures.attack_curves(*shown, FIGURE.value or default)}", flush=True)
    sys.exit("\n".join(failures) or None)


if __name__ == "__main__":
    app.run(main)
