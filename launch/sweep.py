"""Runs flagfiles with several seeds, one after another, and lists the outcomes at the end.

python launch/sweep.py --flagfiles='flags/mnist/table3_*_quick.flags' --seeds=42,43
python launch/sweep.py --flagfiles='flags/mnist/*_quick.flags' -- --data_dir=/data/tfds
python launch/sweep.py --launcher=launch/cifar5.py --flagfiles='flags/cifar5/*_quick.flags'

Flags after `--` are passed to every run. A run has the directory <root>/<flagfile>-seed<seed>, and
the file of that name with .log has its output. Finished runs are skipped, interrupted ones resumed.
Of flagfiles with the same configuration only the first is run. A failed run does not stop the rest.
"""

import glob
import pathlib
import sys

import console
import data_flags
import run_flags
import sweep_run
import tensorflow as tf
from absl import app, flags

from bayes_by_hypernet.paper.configuration import RunConfig
from bayes_by_hypernet.paper.tables import find_runs, format_table

FLAGFILES = flags.DEFINE_list("flagfiles", None, "Flagfiles, or quoted patterns of them.")
SEEDS = flags.DEFINE_list("seeds", ["42"], "Seeds; each flagfile is run with each.")
ROOT = flags.DEFINE_string("root", "runs", "Folder of the run directories.")
RESULTS = flags.DEFINE_string(
    "results", None, "Copy each finished results.json to RESULTS/<protocol>/<run>/results.json; "
    "what lies there counts as run."
)  # fmt: skip
MNIST = str(pathlib.Path(__file__).with_name("mnist.py"))
LAUNCHER = flags.DEFINE_string("launcher", MNIST, "Script that takes a run's flags.")


def main(argv):
    modules = (run_flags, data_flags)
    own = [flag for module in modules for flag in flags.FLAGS.get_flags_for_module(module)]
    misplaced = ", ".join(f"--{flag.name}" for flag in own if flag.present)
    if misplaced:
        raise app.UsageError(f"Flags of the runs must follow `--`. Received before it: {misplaced}")
    tf.config.set_visible_devices([], "GPU")  # its memory is the runs'
    with console.ending("Rerun the command to resume the sweep.") as stop:
        sweep(argv[1:], stop)


def sweep(extra, stop):
    """Runs what the flags say, and prints the table of the runs also where it is stopped."""
    pathlib.Path(ROOT.value).mkdir(parents=True, exist_ok=True)
    paths = [p for pattern in FLAGFILES.value for p in sorted(glob.glob(pattern)) or [pattern]]
    if console.GRACE_SECONDS.value is not None:
        extra = [*extra, f"--grace_seconds={console.GRACE_SECONDS.value}"]
    shared = (extra, LAUNCHER.value, ROOT.value, RESULTS.value)
    runs = [sweep_run.Run(path, seed, *shared) for seed in SEEDS.value for path in paths]
    kept = find_runs(RESULTS.value) if RESULTS.value else {}
    earlier = {path.parent.name: RunConfig.from_flat(flat) for path, flat in kept.items()}
    try:
        for number, run in enumerate(runs, start=1):
            print(f"[{number}/{len(runs)}] {run.name}", flush=True)
            run.carry_out(earlier, stop)
            minutes, error = run.numbers
            print(f"  {run.state}" + (f", {minutes} min, error {error} %" if error else ""))
    finally:
        rows = [[run.name, run.state, *run.numbers] for run in runs]
        print(f"\n{format_table(['Run', 'State', 'Minutes', 'Error [%]'], rows)}", flush=True)
    failed = [run.name for run in runs if run.state == "failed"]
    if failed:
        sys.exit(f"{len(failed)} failed: {', '.join(failed)}. The same command tries them again.")


if __name__ == "__main__":
    flags.mark_flag_as_required("flagfiles")
    app.run(main)
