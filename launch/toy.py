"""Fits the toy regression with the methods of the paper and draws Figure 1.

python launch/toy.py
python launch/toy.py --method=bbh --overwrite

Into --workdir go the numbers (toy.json), the figure (toy.png, toy.pdf) and what it is drawn from
(predictions.npz). What was run with the same settings before is skipped; a method replaces what it
had there, and leaves the others as they are.
"""

import sys

import console
import quiet_tensorflow  # noqa: F401
from absl import app, flags

from bayes_by_hypernet.paper import methods, protocols, tables, toy_regression
from bayes_by_hypernet.paper.figures import toy

METHOD = flags.DEFINE_enum("method", "all", ["all", *toy.METHODS], "Method to fit.")
STEPS = flags.DEFINE_integer(
    "steps", None, "Training steps, of which the KL's annealing keeps its share; default: 5000, "
    "for bbh 20000.", 1
)  # fmt: skip
SEED = flags.DEFINE_integer(
    "seed", protocols.SEED, "Of initialisation and noise; the data stay the same.", 0
)
NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", protocols.NUM_PREDICTIVE_SAMPLES, "Posterior samples of every prediction.", 1
)
WORKDIR = flags.DEFINE_string("workdir", "runs/toy", "Folder of the results.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Run also what was run before.")
WAIT = flags.DEFINE_bool("wait", False, "Wait where another process writes to --workdir.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    console.start_logging()
    names = toy.METHODS if METHOD.value == "all" else [METHOD.value]
    settings = (STEPS.value, SEED.value, NUM_SAMPLES.value)
    with console.ending("Rerun the command to resume with the interrupted method."):
        results, errors = toy_regression.run_all(
            WORKDIR.value, names, *settings, overwrite=OVERWRITE.value, wait=WAIT.value
        )
        figure = toy.toy_regression(WORKDIR.value)
    shown = [
        (methods.get(name).label, results.numbers[name])
        for name in toy.METHODS
        if name in results.numbers
    ]
    print(tables.format_table(*tables.toy_table(shown)))
    print(f"Figure: {figure}")
    if errors:
        sys.exit(f"{len(errors)} failed: {', '.join(errors)}. The same command tries them again.")


if __name__ == "__main__":
    app.run(main)
