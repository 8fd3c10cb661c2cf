"""Stops runs at random moments, damages their files, compares how they end with an unbroken run.

    python benchmarks/interruptions.py --json=benchmarks/interruptions.json
    python benchmarks/interruptions.py --stops=2 --damages=1 --methods=bbh      in a minute or two

A run of `launch/mnist.py` on embedded digits, of a small hypernetwork or a small ensemble, is
started and stopped six times: while it starts, twice while it trains, while it predicts, exports
and draws. The moment within a phase is random. The stop is SIGKILL (a lost machine), SIGTERM (a
cluster), SIGINT (Control-C), SIGHUP (a closed terminal), or SIGTERM and SIGKILL some tenths of a
second later. Then the same command runs to its end.

A damaged file is one that a run reads when it goes on: emptied, cut in half, overwritten, with one
byte changed, or replaced by a folder, half of the times in a run stopped in training, half in a
finished one. The same command must then end the run with the same measures, or refuse with a
sentence.

Compared bit for bit: all measures in results.json, every line of history.jsonl but its
milliseconds, and the predictions of every image.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import measure
import numpy as np
import tqdm

LAUNCHER = pathlib.Path(__file__).resolve().parents[1] / "launch" / "mnist.py"
FLAGS = (
    "--dataset=embedded",
    "--protocol=demo",
    "--epochs=2",
    "--max_train_examples=2000",
    "--num_predictive_samples=4",
    "--checkpoint_minutes=0",
    "--steps_per_call=1",
)
METHODS = {
    "bbh": ("--method=bbh", "--hidden_units=4,8"),
    "ensemble": ("--method=ensemble", "--num_members=2"),
}
# Each phase of a run, by what the launcher says when it begins.
PHASES = {
    "training": "step/s",
    "predicting": "predicting",
    "exporting": "Exporting",
    "drawing": "Error [%]",
}
STARTING = "starting"
# The order in which a run is stopped; what was done is not done again, so later phases are reached.
STOPS = (STARTING, "training", "training", "predicting", "exporting", "drawing")
KILL, TERM, INT, HUP = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP
SIGNALS = {
    "SIGKILL": (KILL,),
    "SIGTERM": (TERM,),
    "SIGINT": (INT,),
    "SIGHUP": (HUP,),
    "SIGTERM, SIGKILL": (TERM, KILL),
}
DAMAGES = ("emptied", "cut", "overwritten", "one byte", "a folder")
DAMAGED_FILES = (
    "results.json",
    "history.jsonl",
    "curves.json",
    "predictions.npz",
    "config.json",
    "checkpoints/checkpoint",
    "checkpoints/*.index",
    "checkpoints/*.data-*",
)
NOT_COMPARED = (  # of results.json: seconds, and where and when
    "train_seconds",
    "ms_per_step",
    "hardware",
    "versions",
)
TIMEOUT = 600  # seconds after which a command that has not ended is a fault


class Command:
    """The launcher in a process of its own, and what it has said so far."""

    def __init__(self, method, workdir):
        self.process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), *FLAGS, *METHODS[method], f"--workdir={workdir}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.seconds = {STARTING: 0.0}  # at which each phase began
        self._began = time.monotonic()
        self._text = b""
        self._has_ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self):
        return self._text.decode(errors="replace")

    def _read(self):
        while piece := os.read(self.process.stdout.fileno(), 4096):
            with self._changed:
                self._text += piece
                for phase, mark in PHASES.items():
                    if mark.encode() in self._text:
                        self.seconds.setdefault(phase, time.monotonic() - self._began)
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def wait_for(self, phase):
        """Returns when a phase begins or the process has ended."""
        with self._changed:
            self._changed.wait_for(lambda: phase in self.seconds or self._has_ended, TIMEOUT)

    def end(self):
        """Returns the exit status, after the process has ended by itself."""
        status = self.process.wait(TIMEOUT)
        self._reader.join()
        self.seconds["end"] = time.monotonic() - self._began
        return status


def durations(command):
    """Returns the seconds that each phase of an unbroken run took."""
    phases = [STARTING, *PHASES, "end"]
    begins = [command.seconds[phase] for phase in phases]
    return dict(zip(phases, np.diff(begins), strict=False))


def outcome(workdir):
    """Returns what an unbroken run and one that was stopped must have in common."""
    workdir = pathlib.Path(workdir)
    results = json.loads((workdir / "results.json").read_text(encoding="utf-8"))
    histories = {
        path.name: [
            {name: value for name, value in json.loads(line).items() if name != "ms_per_step"}
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        for path in sorted(workdir.glob("history*.jsonl"))
    }
    with np.load(workdir / "predictions.npz", allow_pickle=False) as file:
        predictions = {name: file[name].tobytes() for name in file.files}
    return {
        "results": {k: v for k, v in results.items() if k not in NOT_COMPARED},
        "histories": histories,
        "predictions": predictions,
        "curves": json.loads((workdir / "curves.json").read_text(encoding="utf-8")),
    }


def differences(workdir, unbroken, without=()):
    """Returns the names of the parts in which a finished run is not the unbroken one."""
    try:
        found = outcome(workdir)
    except (OSError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]
    return [name for name in unbroken if name not in without and found[name] != unbroken[name]]


def stop(command, phase, name, seconds, rng):
    """Sends a signal, or two, at a random moment of a phase; returns what came of it."""
    command.wait_for(phase)
    time.sleep(rng.uniform(0, seconds))
    came_late = command.process.poll() is not None
    if not came_late:
        for i, number in enumerate(SIGNALS[name]):
            if i:
                time.sleep(rng.uniform(0, 0.5))
            command.process.send_signal(number)
    status = command.end()
    last = max(command.seconds, key=lambda p: command.seconds[p] if p != "end" else -1.0)
    return {
        "stop": name if not came_late else "none: it had ended",
        "phase": last,
        "status": status,
        "traceback": "Traceback" in command.text,
    }


def stopped_run(method, folder, unbroken, seconds, seed, num_stops):
    """Stops one run up to six times and lets it end; returns a record of each stop."""
    rng, workdir = random.Random(seed), pathlib.Path(folder) / f"stopped-{seed}"
    phases = [STOPS[i] for i in sorted(rng.sample(range(len(STOPS)), num_stops))]
    records = [
        stop(Command(method, workdir), phase, rng.choice(list(SIGNALS)), seconds[phase], rng)
        for phase in phases
    ]
    last = Command(method, workdir)
    ended = {"rerun_status": last.end(), "rerun_traceback": "Traceback" in last.text}
    ended["differences"] = differences(workdir, unbroken)
    shutil.rmtree(workdir, ignore_errors=True)
    return [{"method": method, "seed": seed, **record, **ended} for record in records]


def damage(path, how, rng):
    """Damages a file in one of five ways."""
    content = path.read_bytes()
    if how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "overwritten":
        path.write_bytes(rng.randbytes(len(content)))
    else:
        place = rng.randrange(len(content))
        changed = bytes([content[place] ^ (1 << rng.randrange(8))])
        path.write_bytes(content[:place] + changed + content[place + 1 :])


def damaged_run(method, folder, unbroken, seconds, seed):
    """Damages a file of a run that was stopped or had ended; returns the record of what follows."""
    rng, workdir = random.Random(seed), pathlib.Path(folder) / f"damaged-{seed}"
    when = "finished"
    if seed % 2:
        when = "stopped in training"
        stop(Command(method, workdir), "training", "SIGTERM", seconds["training"], rng)
    else:
        shutil.copytree(pathlib.Path(folder) / method, workdir)
    paths = [path for name in DAMAGED_FILES for path in workdir.glob(name) if path.stat().st_size]
    path, how = rng.choice(paths), rng.choice(DAMAGES)
    damage(path, how, rng)
    command = Command(method, workdir)
    status = command.end()
    # Lines of the history that are lost cannot be made again: the run says so.
    without = ("histories",) if path.name in command.text else ()
    record = {
        "method": method,
        "seed": seed,
        "file": str(path.relative_to(workdir)),
        "damage": how,
        "when": when,
        "status": status,
        "traceback": "Traceback" in command.text,
        "named": path.name in command.text,
        "differences": [] if status else differences(workdir, unbroken, without),
        "said": command.text.strip().splitlines()[-1] if status else "",
    }
    shutil.rmtree(workdir, ignore_errors=True)
    return [record]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stops", type=int, default=204, help="up to six for each run")
    parser.add_argument("--damages", type=int, default=60, help="damaged files")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="also write the numbers to this file")
    return parser.parse_args()


def stop_rows(stops):
    """Returns the rows of the table of stops: signal by signal, and by phase."""
    rows = []
    for key in ("stop", "phase"):
        groups = collections.defaultdict(list)
        for record in stops:
            groups[record[key]].append(record)
        order = [*SIGNALS, "none: it had ended"] if key == "stop" else [STARTING, *PHASES]
        for name in (name for name in order if name in groups):
            records = groups[name]
            statuses = collections.Counter(record["status"] for record in records)
            rows.append(
                [
                    name,
                    len(records),
                    ", ".join(f"{status} ({n})" for status, n in statuses.most_common()),
                    sum(record["traceback"] for record in records),
                    sum(bool(record["rerun_status"]) for record in records),
                    sum(bool(record["differences"]) for record in records),
                ]
            )
    return rows


def damage_rows(damages):
    """Returns the rows of the table of damaged files."""
    groups = collections.defaultdict(list)
    for record in damages:
        path = pathlib.PurePath(record["file"])
        groups[f"{path.parent.parts[0]}/*{path.suffix}" if len(path.parts) > 1 else path].append(
            record
        )
    return [
        [
            f"`{name}`",
            len(records),
            sum(not record["status"] for record in records),
            sum(bool(record["status"]) for record in records),
            sum(record["traceback"] for record in records),
            sum(bool(record["differences"]) for record in records),
        ]
        for name, records in sorted(groups.items(), key=str)
    ]


def main():
    arguments = parse_arguments()
    # What is ignored here is ignored by the runs too: SIGINT in a shell's background job, SIGHUP
    # under nohup. A run would then end before the next stop.
    signal.signal(INT, signal.default_int_handler)
    signal.signal(HUP, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as folder:
        unbroken, seconds = {}, {}
        for method in arguments.methods:
            # Twice: the first one renders and compiles what is not in the cache yet.
            Command(method, pathlib.Path(folder) / "warm").end()
            shutil.rmtree(pathlib.Path(folder) / "warm", ignore_errors=True)
            command = Command(method, pathlib.Path(folder) / method)
            if command.end():
                sys.exit(f"The unbroken run of {method} failed:\n{command.text}")
            unbroken[method] = outcome(pathlib.Path(folder) / method)
            seconds[method] = durations(command)
        whole, rest = divmod(arguments.stops, len(STOPS))
        counts = [len(STOPS)] * whole + [rest] * bool(rest)
        runs = [(stopped_run, i, (count,)) for i, count in enumerate(counts)]
        runs += [(damaged_run, i, ()) for i in range(arguments.damages)]
        found = {stopped_run: [], damaged_run: []}
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            futures = {}
            for number, (trial, i, more) in enumerate(runs):
                method = arguments.methods[number % len(arguments.methods)]
                parts = (method, folder, unbroken[method], seconds[method], arguments.seed + i)
                futures[pool.submit(trial, *parts, *more)] = trial
            done = concurrent.futures.as_completed(futures)
            for future in tqdm.tqdm(done, total=len(futures), unit="run"):
                found[futures[future]] += future.result()
    stops, damages = found[stopped_run], found[damaged_run]
    tables = [
        measure.show(
            "Stopped runs, by signal and by the phase in which it came",
            ["stop", "tried", "exit status", "tracebacks", "reruns that fail", "differ"],
            stop_rows(stops),
        ),
        measure.show(
            "Damaged files, and the same command after that",
            ["file", "tried", "ends as unbroken", "refuses", "tracebacks", "differ"],
            damage_rows(damages),
        ),
    ]
    measure.write(arguments.json, tables, stops=stops, damages=damages)
    bad = [r for r in stops + damages if r["differences"]]
    sys.exit(f"{len(bad)} runs ended differently." if bad else 0)


if __name__ == "__main__":
    main()
