"""Fuzzes the numerics of the C++ operations under sanitizers, against twins in NumPy.

python tests/kernels/sanitizers/random_cases.py --cases=2000
python tests/kernels/sanitizers/random_cases.py --cases=1000000 --seconds=600 --kinds=threads

Exit status 1 if a sanitizer found something or a result differs.
"""

import argparse
import collections
import pathlib
import sys
import tempfile
import time

import cases
import harness
import numpy as np

BATCH = 100  # cases of a process


def fuzz(program, sets, num_cases, seed, folder, seconds=float("inf")):
    """Runs random cases; returns how many of each operation, and what was found as sentences."""
    counts, findings, start = collections.Counter(), [], time.monotonic()
    for first in range(0, num_cases, BATCH):
        if time.monotonic() - start > seconds:
            break
        numbers = range(first, min(first + BATCH, num_cases))
        drawn = [cases.draw(np.random.default_rng((seed, number)), sets) for number in numbers]
        try:
            results = harness.run(program, drawn, folder)
        except harness.Finding as finding:
            findings.append(f"seed {seed}, cases from {first}: {finding}")
            continue
        for number, case, arrays in zip(numbers, drawn, results, strict=True):
            counts[case.operation] += 1
            try:
                cases.check(case, arrays)
            except AssertionError as error:
                shapes = [array.shape for array in case.inputs]
                where = f"{case.operation} {case.dtype} {case.instruction_set} {shapes}"
                findings.append(f"seed {seed}, case {number}: {where}: {error}")
    return counts, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="of each kind of sanitizers")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="limit of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(harness.SANITIZERS))
    parser.add_argument("--optimise", default="-O1", help="-O0 compiles in a third of the time")
    arguments = parser.parse_args()
    sets, num_findings = harness.available_sets(), 0
    for kind in arguments.kinds.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            if reason := harness.reason_to_skip(kind, folder):
                print(f"{kind}: left out, {reason}")
                continue
            program = harness.compile_harness(folder, kind, sets, arguments.optimise)
            start = time.monotonic()
            counts, findings = fuzz(
                program, sets, arguments.cases, arguments.seed, folder, arguments.seconds
            )
            flags = " ".join(harness.SANITIZERS[kind])
            print(f"{kind} ({flags}), {', '.join(sets)}: {sum(counts.values())} cases in "
                  f"{time.monotonic() - start:.0f} s, {dict(counts)}; findings: {len(findings)}",
                  flush=True)  # fmt: skip
            print(*findings, sep="\n")
            num_findings += len(findings)
    return int(num_findings > 0)


if __name__ == "__main__":
    sys.exit(main())
