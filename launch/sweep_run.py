"""One run of a sweep: a flagfile with a seed, which a launcher trains in another process."""

import dataclasses
import pathlib
import subprocess
import sys

import data_flags
import run_flags
from absl import flags
from absl.testing import flagsaver

from bayes_by_hypernet import files
from bayes_by_hypernet.paper import configuration, networks
from bayes_by_hypernet.paper.run_directory import RESULTS_FILE, RunDirectory

# By a launcher's name: that of a network, or of the data set, which stands for its first network.
NETWORKS = {network.dataset: network.name for network in reversed(networks.NETWORKS.values())}
NETWORKS |= {name: name for name in networks.NETWORKS}
LOG_LINES = 10  # shown of a run that failed


@dataclasses.dataclass
class Run:
    """A run, and how it goes.

    Attributes:
        flagfile: Path of the flagfile.
        seed: The seed, as text.
        extra: List of further flags of the launcher.
        launcher: Path of the script that takes the flags.
        root: Folder of the run directories and logs.
        results: Folder that finished results are copied to, or None.
        state: What became of it, in words.
        numbers: Minutes of training and error in percent, as texts.
    """

    flagfile: str
    seed: str
    extra: list
    launcher: str
    root: str
    results: str | None
    state: str = "not run"
    numbers: tuple = ("", "")

    def __post_init__(self):
        self.name = f"{pathlib.Path(self.flagfile).stem}-seed{self.seed}"
        self.workdir = pathlib.Path(self.root) / self.name
        self.log = self.workdir.with_name(self.name + ".log")
        own = [f"--seed={self.seed}", f"--workdir={self.workdir}"]
        self.arguments = [f"--flagfile={self.flagfile}", *self.extra, *own]

    def configuration(self):
        """Returns the `RunConfig` that the launcher makes of the arguments."""
        launcher = pathlib.Path(self.launcher)
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
            if self.results:
                target = pathlib.Path(self.results) / config.protocol / self.name
                with files.writing(target):
                    target.mkdir(parents=True, exist_ok=True)
                contents = (self.workdir / RESULTS_FILE).read_bytes()
                files.write_bytes(target / RESULTS_FILE, contents)
        return bool(results)

    def train(self, stop):
        """Trains in another process and returns its exit status; a signal lets it save first.

        Args:
            stop: `StopRequests`.
        """
        command = [sys.executable, self.launcher, *self.arguments]
        # In a session of its own, so that the terminal's Control-C reaches it once: from here.
        options = {"stdin": subprocess.DEVNULL, "start_new_session": True}
        with open(self.log, "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        with stop.at_once(process.kill):
            try:
                return process.wait()
            except KeyboardInterrupt:
                self.state = "interrupted"
                print("  Stopping: the run saves what it has. A second signal ends it at once.")
                process.terminate()  # not SIGINT, which a shell's background jobs ignore
                process.wait()
                raise
            finally:
                process.kill()  # no effect on one that has ended

    def carry_out(self, earlier, stop):
        """Brings the run to its end.

        Args:
            earlier: Dict, the configurations before it, by name.
            stop: `StopRequests`.
        """
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
            status = self.train(stop)
            self.state = "done" if status == 0 and self.is_finished(config) else "failed"
            if self.state == "failed":
                last = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
                print(f"  exit status {status}; the log ends:", *last, sep="\n  | ")
        except (flags.Error, ValueError, OSError) as error:
            self.state = "failed"
            print(f"  {type(error).__name__}: {error}")
