"""Runs flagfiles with several seeds, one after another, and says in the end how each went.

python launch/sweep.py --flagfiles='flags/mnist/table3_*_quick.flags' --seeds=42,43
python launch/sweep.py --flagfiles='flags/mnist/*_quick.flags' -- --data_dir=/data/tfds
python launch/sweep.py --launcher=launch/cifar5.py --flagfiles='flags/cifar5/*_quick.flags'

What stands behind `--` goes to every run. A run has the directory <root>/<flagfile>-seed<seed>, and
its output goes to the file of that name with .log. Finished runs are skipped, unfinished resumed;
of flagfiles with the same configuration the first is run. A failing run does not stop the others.
"""

import dataclasses
import glob
import pathlib
import shutil
import signal
import subprocess
import sys

import data_flags
import run_flags
import tensorflow as tf
from absl import app, flags
from absl.testing import flagsaver

from bayes_by_hypernet import configuration, networks
from bayes_by_hypernet.configuration import RunConfig
from bayes_by_hypernet.run_directory import RESULTS_FILE, RunDirectory
from bayes_by_hypernet.tables import find_runs, format_table

FLAGFILES = flags.DEFINE_list("flagfiles", None, "Flagfiles, or quoted patterns of them.")
SEEDS = flags.DEFINE_list("seeds", ["42"], "Seeds; each flagfile is run with each.")
ROOT = flags.DEFINE_string("root", "runs", "Folder of the run directories.")
RESULTS = flags.DEFINE_string(
    "results", None, "Copy each finished results.json to RESULTS/<protocol>/<run>/results.json; "
    "what lies there counts as run."
)  # fmt: skip
MNIST = str(pathlib.Path(__file__).with_name("mnist.py"))
LAUNCHER = flags.DEFINE_string("launcher", MNIST, "Script that takes a run's flags.")
NETWORKS = {network.dataset: network.name for network in networks.NETWORKS.values()}
LOG_LINES = 10  # shown of a run that failed


@dataclasses.dataclass
class Run:
    flagfile: str
    seed: str
    extra: list
    state: str = "not run"
    numbers: tuple = ("", "")  # minutes of training, error in percent

    def __post_init__(self):
        self.name = f"{pathlib.Path(self.flagfile).stem}-seed{self.seed}"
        self.workdir = pathlib.Path(ROOT.value) / self.name
        self.log = self.workdir.with_name(self.name + ".log")
        own = [f"--seed={self.seed}", f"--workdir={self.workdir}"]
        self.arguments = [f"--flagfile={self.flagfile}", *self.extra, *own]

    def configuration(self):
        """Returns the `RunConfig` that the launcher makes of the arguments."""
        launcher = pathlib.Path(LAUNCHER.value)
        network = NETWORKS.get(launcher.stem, networks.LENET.name)
        with flagsaver.flagsaver():
            flags.FLAGS([launcher.name, *self.arguments])
            settings = run_flags.settings() | data_flags.data_dirs()
            return configuration.resolve(network, **settings)[0]

    def is_finished(self, config):
        """Whether there are results, which are noted; another configuration's are an error."""
        results = RunDirectory(self.workdir, config, writer=False).results
        if results:
            minutes, error = results["train_seconds"] / 60, results["error_percent"]
            self.numbers = (f"{minutes:.1f}", f"{error:.2f}")
            if RESULTS.value:
                target = pathlib.Path(RESULTS.value) / config.protocol / self.name
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.workdir / RESULTS_FILE, target / RESULTS_FILE)
        return bool(results)

    def train(self):
        """Trains in another process and returns its exit status; Control-C lets it save first."""
        command = [sys.executable, LAUNCHER.value, *self.arguments]
        # In a session of its own, so that the terminal's Control-C reaches it once: from here.
        options = {"stdin": subprocess.DEVNULL, "start_new_session": True}
        with open(self.log, "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        try:
            return process.wait()
        except KeyboardInterrupt:
            self.state = "interrupted"
            print("  Stopping: the run saves what it has. Control-C again ends it at once.")
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        finally:
            process.kill()  # no effect on one that has ended: all but those interrupted twice

    def carry_out(self, earlier):
        """Brings the run to its end; `earlier` holds the configurations before it, by name."""
        try:
            config = self.configuration()
            for name, other in earlier.items():
                if other == config and name != self.name:
                    self.state = f"same as {name}"
                    return
            earlier[self.name] = config
            if self.is_finished(config):
                self.state = "finished before"
                return
            print(f"  running, output in {self.log}", flush=True)
            status = self.train()
            self.state = "done" if status == 0 and self.is_finished(config) else "failed"
            if self.state == "failed":
                last = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
                print(f"  exit status {status}; the log ends:", *last, sep="\n  | ")
        except (flags.Error, ValueError, OSError) as error:
            self.state = "failed"
            print(f"  {type(error).__name__}: {error}")


def main(argv):
    modules = (run_flags, data_flags)
    own = [flag for module in modules for flag in flags.FLAGS.get_flags_for_module(module)]
    misplaced = ", ".join(f"--{flag.name}" for flag in own if flag.present)
    if misplaced:
        raise app.UsageError(f"Flags of the runs stand behind `--`. Received before: {misplaced}")
    tf.config.set_visible_devices([], "GPU")  # its memory is the runs'
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Control-C
    pathlib.Path(ROOT.value).mkdir(parents=True, exist_ok=True)
    paths = [p for pattern in FLAGFILES.value for p in sorted(glob.glob(pattern)) or [pattern]]
    runs = [Run(path, seed, argv[1:]) for seed in SEEDS.value for path in paths]
    kept = find_runs(RESULTS.value) if RESULTS.value else {}
    earlier = {path.parent.name: RunConfig.from_flat(flat) for path, flat in kept.items()}
    message = None
    try:
        for number, run in enumerate(runs, start=1):
            print(f"[{number}/{len(runs)}] {run.name}", flush=True)
            run.carry_out(earlier)
            minutes, error = run.numbers
            print(f"  {run.state}" + (f", {minutes} min, error {error} %" if error else ""))
    except KeyboardInterrupt:
        message = "Interrupted. The same command goes on with the sweep."
    failed = [run.name for run in runs if run.state == "failed"]
    if failed and not message:
        message = f"{len(failed)} failed: {', '.join(failed)}. The same command tries them again."
    rows = [[run.name, run.state, *run.numbers] for run in runs]
    print(f"\n{format_table(['Run', 'State', 'Minutes', 'Error [%]'], rows)}", flush=True)
    sys.exit(message)


if __name__ == "__main__":
    flags.mark_flag_as_required("flagfiles")
    app.run(main)
