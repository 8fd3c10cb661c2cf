"""Compiles the numerics of the C++ operations with sanitizers, and runs cases through them."""

import concurrent.futures
import dataclasses
import math
import os
import pathlib
import platform
import shlex
import subprocess

import numpy as np

from bayes_by_hypernet.kernels import build

FOLDER = pathlib.Path(__file__).resolve().parent
SETS = list(build.INSTRUCTION_SETS)
# What each kind finds; a finding ends the process.
SANITIZERS = {
    "memory": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "threads": ("-fsanitize=thread",),
}
OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_init_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
OPERATIONS = ("kl", "drawn_kl", "product", "adam", "entropy")
# What the library compiles with, but for the optimisation: sanitized code takes minutes with -O3.
_FLAGS = [flag for flag in build.FLAGS if not flag.startswith("-O")]
_FLAGS += ["-g", "-pthread", "-DBBH_CHECKED", f"-I{build.SOURCE_DIRECTORY}"]


class Finding(Exception):
    """What a sanitizer, or the harness, said of a case."""


@dataclasses.dataclass
class Case:
    """One call of an operation.

    Attributes:
        operation: One of `OPERATIONS`.
        inputs: Arrays of one dtype. `kl`: the pieces of the posterior samples, then of the prior
            samples; `drawn_kl`, `entropy`: the former; `product`: left and matrix; `adam`: left,
            right, matrix, momentum and velocity.
        settings: `drawn_kl`: stddev; `entropy`: prior_precision; `adam`: alpha, beta_1, beta_2 and
            epsilon.
        num_drawn: Prior samples of `drawn_kl`.
        key, counter: Of the prior samples, two integers each.
        gradients: Which to ask for: 1 for posterior samples, 2 for prior samples, or 3.
        instruction_set: One of `SETS`.
        threads: How many share the work.
        callers: How many do it at the same time.
        offset: By how many numbers arrays lie behind the beginning of their memory.
    """

    operation: str
    inputs: list
    settings: tuple = ()
    num_drawn: int = 0
    key: tuple = (0, 0)
    counter: tuple = (0, 0)
    gradients: int = 1
    instruction_set: str = "generic"
    threads: int = 1
    callers: int = 1
    offset: int = 0

    @property
    def dtype(self):
        return self.inputs[0].dtype

    @property
    def posterior(self):
        alone = self.operation in ("drawn_kl", "entropy")
        return self.inputs if alone else self.inputs[: len(self.inputs) // 2]

    def shapes(self):
        """Returns the shapes of the results."""
        if self.operation == "product":
            (rank, _), (_, columns) = (array.shape for array in self.inputs)
            return [(rank, columns)]
        if self.operation == "adam":
            return [array.shape for array in (*self.inputs[2:], self.inputs[0])]
        shapes = []
        m = self.num_drawn or len(self.inputs[-1])
        for n, width in (piece.shape for piece in self.posterior):
            shapes += [(m, width)] * bool(self.num_drawn)
            shapes += [(n, width)] * bool(self.gradients & 1)
            shapes += [(m, width)] * bool(self.gradients & 2)
        return [*shapes, ()]

    def content(self):
        """Returns the case as bytes, as harness.cc reads it."""
        first = self.inputs[0]
        if self.operation in ("kl", "drawn_kl", "entropy"):
            m = self.num_drawn or len(self.inputs[-1])
            sizes = [len(first), m, len(self.posterior)]
            widths = [piece.shape[1] for piece in self.posterior]
        else:
            sizes, widths = [*first.shape, self.inputs[1].shape[1]], []
        numbers = [OPERATIONS.index(self.operation), self.dtype.itemsize]
        numbers += [SETS.index(self.instruction_set), self.threads, self.callers, self.offset]
        numbers += [*sizes, self.gradients, *self.key, *self.counter]
        settings = [*self.settings, 0.0, 0.0, 0.0, 0.0][:4]
        parts = [np.array(numbers, np.int64), np.array(settings), np.array(widths, np.int64)]
        return b"".join(array.tobytes() for array in (*parts, *self.inputs))


def available_sets():
    """Returns the instruction sets that this machine has."""
    try:
        flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    needed = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"}}
    return [name for name in SETS if needed.get(name, set()) <= flags]


def reason_to_skip(kind, folder):
    """Returns why sanitizers cannot be used, or None: compiles and runs an empty program."""
    compiler = build.find_compiler()
    if compiler is None:
        return "needs a C++ compiler"
    source, program = folder / "empty.cc", folder / f"empty_{kind}"
    source.write_text("int main() { return 0; }\n")
    command = [*shlex.split(compiler), *SANITIZERS[kind], source, "-o", program]
    for step in (command, [program]):
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            return f"{' '.join(SANITIZERS[kind])} does not work here: {done.stderr.strip()[-200:]}"
    return None


def compile_harness(folder, kind, sets, optimise="-O0"):
    """Compiles numerics and harness.

    Args:
        folder: `pathlib.Path`, for objects and program.
        kind: Of sanitizers.
        sets: Names of instruction sets.
        optimise: The compiler's flag.

    Returns:
        Path of the program.
    """
    compiler = shlex.split(build.find_compiler())
    flags = [*_FLAGS, *SANITIZERS[kind], optimise]
    flags += ["-DBBH_X86"] if platform.machine().lower() in ("x86_64", "amd64") else []
    sources = [*sorted(build.SOURCE_DIRECTORY.glob("*_simd.cc")), FOLDER / "draws_simd.cc"]
    commands = {
        folder / f"{source.stem}.{name}.o": [
            *flags, f"-DBBH_ISA={name}", *build.INSTRUCTION_SETS[name], "-c", source,
        ]
        for name in sets
        for source in sources
    }  # fmt: skip
    with_sets = [f"-DBBH_WITH_{name.upper()}" for name in sets]
    commands[folder / "harness.o"] = [*flags, *with_sets, "-c", FOLDER / "harness.cc"]
    program = folder / f"harness_{kind}"

    def compile_one(item):
        target, arguments = item
        subprocess.run([*compiler, *arguments, "-o", target], check=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, commands.items()))
    subprocess.run([*compiler, *flags, *commands, "-o", program], check=True)
    return program


def run(program, cases, folder):
    """Runs cases in one process.

    Args:
        program: What `compile_harness` returned.
        cases: List of `Case`s.
        folder: `pathlib.Path`, for the files.

    Returns:
        For each case a list of arrays, of the shapes that `Case.shapes` gives.

    Raises:
        Finding: If a sanitizer found something, with the case's number and what it said.
    """
    paths = folder / "cases", folder / "results"
    with paths[0].open("wb") as file:
        for case in cases:
            file.write(case.content())
    environment = {**os.environ, **OPTIONS}
    done = subprocess.run([program, *paths], env=environment, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.splitlines()
        number = sum(line.startswith("case ") for line in said) - 1
        said = [line for line in said if not line.startswith("case ")][:40]
        case = dataclasses.replace(cases[number], inputs=[x.shape for x in cases[number].inputs])
        raise Finding("\n".join([f"case {number}, exit status {done.returncode}: {case}", *said]))
    content, results, begin = paths[1].read_bytes(), [], 0
    for case in cases:
        results.append([])
        for shape in case.shapes():
            size = math.prod(shape)
            array = np.frombuffer(content, case.dtype, size, begin).reshape(shape)
            results[-1].append(array)
            begin += array.nbytes
    assert begin == len(content), f"{len(content) - begin} bytes more than the cases' results"
    return results
