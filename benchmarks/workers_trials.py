"""Tries what can go wrong with two workers: kills, signals, other flags, data, code, TF_CONFIG.

    python benchmarks/workers_trials.py --json=benchmarks/workers_trials.json
    python benchmarks/workers_trials.py --trials "worker killed"   only this one
    python benchmarks/workers_trials.py --hosts                    on two hosts, as root

Every trial starts the launcher twice, as docs/workers.md says, with a small network on rendered
digits, and does one thing to it. What each process said last, its exit status and after how many
seconds it ended go into the table. Where a run was broken off, the same commands resume it, and its
parameters are compared with those of the unbroken run.

With `--hosts` the two processes live in two network namespaces, joined by a pair of virtual network
devices: each has its own address and ports, like two hosts, and the link can be cut.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import measure
import numpy as np
import tensorflow as tf

LAUNCHER = pathlib.Path(__file__).resolve().parents[1] / "launch" / "mnist.py"
FLAGS = (
    *("--method=bbh", "--architecture=single", "--hidden_units=4,8", "--dataset=embedded"),
    *("--protocol=demo", "--epochs=2", "--max_train_examples=1000", "--num_predictive_samples=2"),
    *("--checkpoint_minutes=0", "--steps_per_call=1", "--learning_rate=0.001"),
)
PATIENCE_SECONDS = 120  # after which a process counts as hanging
NAMESPACES = ("bbh-host-0", "bbh-host-1")
HOSTS = ("10.199.0.1", "10.199.0.2")


class Job:
    """Two workers of one run.

    Args:
        folder: Where run directory and logs go.
        name: Of the logs.
        port: Of worker 0; worker 1 has the next one.
        hosts: Whether to use the two namespaces.
        flags: Further flags, a list for each worker.
        changes: Dict for each worker: what differs in its environment.
        workdirs: Run directory for each worker.
    """

    def __init__(self, folder, name, port, hosts, flags=((), ()), changes=({}, {}), workdirs=None):
        self.port, self.hosts = port, hosts
        self.logs = [folder / f"{name}-{index}.log" for index in range(2)]
        workdirs = workdirs or 2 * [folder / "run"]
        self.processes = []
        for index in range(2):
            environment = {**os.environ, "TF_CONFIG": self.tf_config(index), **changes[index]}
            prefix = ["ip", "netns", "exec", NAMESPACES[index]] if hosts else []
            command = [*prefix, sys.executable, str(LAUNCHER), *FLAGS]
            command += [f"--workdir={workdirs[index]}", *flags[index]]
            with open(self.logs[index], "w") as log:
                self.processes.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                )

    def tf_config(self, index, addresses=None):
        hosts = HOSTS if self.hosts else 2 * ("localhost",)
        addresses = addresses or [f"{host}:{self.port + i}" for i, host in enumerate(hosts)]
        task = {"type": "worker", "index": index}
        return json.dumps({"cluster": {"worker": addresses}, "task": task})

    def wait_for_step(self, folder, step):
        """Returns when a checkpoint of at least this step is there, or a process has ended."""
        while all(process.poll() is None for process in self.processes):
            numbers = [
                int(path.stem.removeprefix("ckpt-"))
                for path in (folder / "run" / "checkpoints").glob("ckpt-*.index")
            ]
            if max(numbers, default=0) >= step:
                return
            time.sleep(0.2)

    def ends(self, started):
        """Returns of each process: exit status, seconds since `started`, its last sentence."""
        seconds = [None, None]
        while None in seconds and time.monotonic() - started < PATIENCE_SECONDS:
            for index, process in enumerate(self.processes):
                if seconds[index] is None and process.poll() is not None:
                    seconds[index] = time.monotonic() - started
            time.sleep(0.05)
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        statuses = [process.wait() for process in self.processes]
        return [
            {"status": status, "seconds": after, "said": last_sentence(log)}
            for status, after, log in zip(statuses, seconds, self.logs, strict=True)
        ]


def last_sentence(log):
    """Returns the last line that says why a process ended, without paths of temporary folders."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    lines = [
        line for line in lines if re.search(r"(Error|ended|Stopped|Interrupted|saved)\b", line)
    ]
    text = lines[-1] if lines else ""
    return re.sub(r"\S*/tmp\S*/", ".../", text)


def parameters(folder):
    """Returns the variables of the newest checkpoint of a run by name."""
    paths = sorted(
        (folder / "run" / "checkpoints").glob("ckpt-*.index"),
        key=lambda path: int(path.stem.removeprefix("ckpt-")),
    )
    reader = tf.train.load_checkpoint(os.fspath(paths[-1].with_suffix("")))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith(("method/", "optim"))]
    return {name: reader.get_tensor(name) for name in names}


def difference(first, second):
    """Returns the largest difference of two sets of parameters."""
    if first.keys() != second.keys():
        raise ValueError(
            f"Two runs differ in their variables: {sorted(first.keys() ^ second.keys())}"
        )
    return max(
        float(np.max(np.abs(first[name].astype(float) - second[name].astype(float)), initial=0))
        for name in first
    )


class Trials:
    """The trials, by name; each returns what `Job.ends` does, and whether it resumes."""

    def __init__(self, folder, port, hosts):
        self.folder, self.port, self.hosts = folder, port, hosts
        self.reference = None

    def job(self, folder, name="job", **settings):
        self.port += 2
        return Job(folder, name, self.port, self.hosts, **settings)

    def unbroken(self, folder):
        ends = self.job(folder).ends(time.monotonic())
        if self.reference is None:
            self.reference = parameters(folder)
        return ends

    def signalled(self, folder, index, number):
        job = self.job(folder)
        job.wait_for_step(folder, 8)
        started = time.monotonic()
        job.processes[index].send_signal(number)
        return job.ends(started)

    def refused(self, folder, **settings):
        return self.job(folder, **settings).ends(time.monotonic())

    def cut(self, folder):
        """Cuts the link between the two hosts."""
        job = self.job(folder)
        job.wait_for_step(folder, 8)
        started = time.monotonic()
        device = ["ip", "netns", "exec", NAMESPACES[1], "ip", "link", "set", "bbh-veth-1"]
        subprocess.run([*device, "down"], check=True)
        try:
            return job.ends(started)
        finally:
            subprocess.run([*device, "up"], check=True)

    def all(self):
        """Returns a dict, name to (function of a folder, whether the run is resumed after it)."""
        kill, stop = signal.SIGKILL, signal.SIGTERM
        addresses = ["localhost:1", "localhost:2"]
        code = {"PYTHONPATH": os.fspath(self.folder / "changed_code")}
        trials = {
            "unbroken": (self.unbroken, False),
            "unbroken again": (self.unbroken, False),
            "worker killed": (lambda f: self.signalled(f, 1, kill), True),
            "chief killed": (lambda f: self.signalled(f, 0, kill), True),
            "SIGTERM to the worker": (lambda f: self.signalled(f, 1, stop), True),
            "SIGTERM to the chief": (lambda f: self.signalled(f, 0, stop), True),
            "SIGINT to the worker": (lambda f: self.signalled(f, 1, signal.SIGINT), True),
            "other flag": (
                lambda f: self.refused(f, flags=((), ("--learning_rate=0.01",))),
                True,
            ),
            "data set that is refused": (
                lambda f: self.refused(f, flags=((), ("--dataset=embedded_colour",))),
                False,
            ),
            "other code": (lambda f: self.refused(f, changes=({}, code)), False),
            "other run directory": (
                lambda f: self.refused(f, workdirs=(f / "run", f / "elsewhere")),
                False,
            ),
            "batch of 101": (lambda f: self.refused(f, flags=2 * (("--batch_size=101",),)), False),
            "TF_CONFIG is no JSON": (
                lambda f: self.refused(
                    f, flags=(("--worker_minutes=0.2",), ()), changes=({}, {"TF_CONFIG": "{"})
                ),
                False,
            ),
            "two have the index 0": (
                lambda f: self.refused(
                    f,
                    flags=2 * (("--worker_minutes=0.2",),),
                    changes=({}, {"TF_CONFIG": Job.tf_config(self.next(), 0)}),
                ),
                False,
            ),
            "TF_CONFIG with other addresses": (
                lambda f: self.refused(
                    f,
                    flags=2 * (("--worker_minutes=0.2",),),
                    changes=(
                        {},
                        {
                            "TF_CONFIG": json.dumps(
                                {
                                    "cluster": {"worker": addresses},
                                    "task": {"type": "worker", "index": 1},
                                }
                            )
                        },
                    ),
                ),
                False,
            ),
        }
        if self.hosts:
            trials["link cut"] = (self.cut, True)
        return trials

    def next(self):
        """A stand-in for the job that is started next, to make its TF_CONFIG."""
        return argparse.Namespace(port=self.port + 2, hosts=self.hosts)

    def run(self, name, function, resumes):
        """Returns what the JSON file says of one trial."""
        folder = self.folder / name.replace(" ", "_")
        folder.mkdir()
        entry = {
            "trial": name,
            "hosts": self.hosts,
            "processes": function(folder),
            "difference": None,
        }
        if resumes:
            entry["resumed"] = self.job(folder, "resumed").ends(time.monotonic())
        done = entry.get("resumed", entry["processes"])
        if self.reference is not None and all(end["status"] == 0 for end in done):
            entry["difference"] = difference(parameters(folder), self.reference)
        return entry


@contextlib.contextmanager
def two_hosts():
    """Makes two network namespaces, joined by a pair of virtual devices."""

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    for namespace in NAMESPACES:
        ip("netns", "add", namespace)
    try:
        ip("link", "add", "bbh-veth-0", "type", "veth", "peer", "name", "bbh-veth-1")
        for index, namespace in enumerate(NAMESPACES):
            device = f"bbh-veth-{index}"
            ip("link", "set", device, "netns", namespace)
            ip("-n", namespace, "addr", "add", f"{HOSTS[index]}/24", "dev", device)
            ip("-n", namespace, "link", "set", device, "up")
            ip("-n", namespace, "link", "set", "lo", "up")
        yield
    finally:
        for namespace in NAMESPACES:
            ip("netns", "del", namespace)


def cells(entry):
    done = entry.get("resumed")
    value = entry["difference"]
    return [
        entry["trial"],
        "two namespaces" if entry["hosts"] else "one machine",
        *(process_cell(end) for end in entry["processes"]),
        "" if done is None else ", ".join(str(end["status"]) for end in done),
        "" if value is None else ("equal" if value == 0 else f"{value:.1e}"),
    ]


def process_cell(end):
    seconds = "hangs" if end["seconds"] is None else f"{end['seconds']:.0f} s"
    said = end["said"].replace("|", "/")
    return f"{end['status']} after {seconds}" + (f": {said}" if said and end["status"] else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", nargs="*", help="names; default: all")
    parser.add_argument("--port", type=int, default=23400, help="first port that is free")
    parser.add_argument("--hosts", action="store_true", help="in two network namespaces; as root")
    parser.add_argument("--json", help="also write to this file, which keeps other trials")
    arguments = parser.parse_args()
    # A shell's background jobs ignore Ctrl-C, and what they start does too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if arguments.hosts:
            stack.enter_context(two_hosts())
        changed_code = folder / "changed_code"
        package = LAUNCHER.parents[1] / "bayes_by_hypernet"
        subprocess.run(["mkdir", changed_code], check=True)
        subprocess.run(["cp", "-r", package, changed_code], check=True)
        with open(changed_code / package.name / "priors.py", "a") as file:
            file.write("# another version\n")
        trials, entries = Trials(folder, arguments.port, arguments.hosts), []
        if arguments.json and os.path.exists(arguments.json):  # of other trials
            entries = json.loads(pathlib.Path(arguments.json).read_text())["trials"]
        for name, (function, resumes) in trials.all().items():
            if not arguments.trials or name in {"unbroken", *arguments.trials}:
                entry = trials.run(name, function, resumes)
                print(json.dumps(entry), flush=True)
                place = (name, arguments.hosts)
                entries = [e for e in entries if (e["trial"], e["hosts"]) != place] + [entry]
    table = measure.show(
        "Trials of two workers: exit status, seconds until the end, and last sentence of each",
        ["what was done", "on", "chief", "worker 1", "resumed", "parameters against unbroken"],
        map(cells, entries),
    )
    measure.write(arguments.json, [table], trials=entries)


if __name__ == "__main__":
    main()
