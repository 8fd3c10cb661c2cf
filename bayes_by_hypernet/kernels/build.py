"""Compiles the C++ operations into one shared library, whose name says what it was built from.

Uses the standard library only and imports nothing of the package: setup.py runs this file by its
path, where TensorFlow may be missing. In `src/`:

```
*_simd.cc      numerics without TensorFlow's headers, compiled once per instruction set
*.cc           the others, with TensorFlow's headers, compiled once
*.h            headers of both
```
"""

import concurrent.futures
import hashlib
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from typing import NamedTuple

SOURCE_DIRECTORY = pathlib.Path(__file__).resolve().parent / "src"

# Nothing from -ffast-math that would take NaNs and infinities for granted to be absent.
FLAGS = ("-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-std=c++17")

# Beside -DBBH_ISA=<name>. All but the first exist on x86-64 only; the library chooses as it runs.
INSTRUCTION_SETS = {
    "generic": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": (
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ),
}

_COMPILERS = ("c++", "g++", "clang++")
_PREFIX = "bbh_ops-"
_NAME = re.compile(_PREFIX + r"tf(.+)-([^-]+)-([0-9a-f]{12})\.so")
_SEAL = b"\nbbh-sha256:"
_OUTPUT_LINES = 20
_COMPILERS_AT_ONCE = 4  # of some 300 MB each


class BuildError(RuntimeError):
    """A command of the build that failed.

    Attributes:
        command: String, as one would type it.
        output: String, everything that the command printed.
    """

    def __init__(self, command, output):
        self.command = shlex.join(map(str, command))
        self.output = output
        end = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
        super().__init__(f"The command failed: {self.command}\n{end}")


class LibraryName(NamedTuple):
    """What a library was built for and from, as its file name says."""

    tensorflow_version: str
    machine: str
    source_hash: str


def source_hash(compile_flags=(), source_directory=SOURCE_DIRECTORY) -> str:
    """Returns twelve hexadecimal digits that change with the sources and with the flags.

    Args:
        compile_flags: TensorFlow's flags. Where its headers lie (`-I`) makes no difference.
        source_directory: Folder of the sources.
    """
    definitions = [flag for flag in compile_flags if not flag.startswith("-I")]
    digest = hashlib.sha256(repr((FLAGS, INSTRUCTION_SETS, definitions)).encode())
    for path in sorted([*source_directory.glob("*.cc"), *source_directory.glob("*.h")]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def library_name(tensorflow_version, compile_flags=(), source_directory=SOURCE_DIRECTORY) -> str:
    """Returns the file name, `bbh_ops-tf2.21.0-x86_64-<hash>.so`; arguments as in `source_hash`."""
    digest = source_hash(compile_flags, source_directory)
    return f"{_PREFIX}tf{tensorflow_version}-{platform.machine()}-{digest}.so"


def find_libraries(folder) -> dict[pathlib.Path, LibraryName]:
    """Returns the libraries in a folder, of every version, with what their names tell."""
    matches = {path: _NAME.fullmatch(path.name) for path in sorted(folder.glob(f"{_PREFIX}*.so"))}
    return {path: LibraryName(*match.groups()) for path, match in matches.items() if match}


def find_compiler() -> str | None:
    """Returns the C++ compiler's command: `$CXX` if that is set, else the first of the usual ones.

    None if there is none, also where `$CXX` names a command that does not exist.
    """
    given = os.environ.get("CXX", "").split()
    for program, *arguments in [given] if given else [[name] for name in _COMPILERS]:
        found = shutil.which(program)
        if found:
            return shlex.join([found, *arguments])
    return None


def compile_library(target, compile_flags, link_flags, compiler, source_directory=SOURCE_DIRECTORY):
    """Compiles all sources, in parallel, and links them.

    `target` is at any time absent, the old library or the whole new one.

    Args:
        target: `pathlib.Path` of the library; its folder is made if absent.
        compile_flags: List of strings, `tf.sysconfig.get_compile_flags()`.
        link_flags: List of strings, `tf.sysconfig.get_link_flags()`.
        compiler: String, a command as `find_compiler` returns it.
        source_directory: Folder of the sources.

    Raises:
        BuildError: If there are no sources, or compiling or linking fails.
        OSError: If the target's folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    program = shlex.split(compiler)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as folder:
        objects = _objects(pathlib.Path(folder), compile_flags, source_directory)
        if not objects:
            raise BuildError(program, f"There are no C++ sources in {source_directory}.")
        commands = [[*program, *arguments, "-o", path] for path, arguments in objects.items()]
        with concurrent.futures.ThreadPoolExecutor(_COMPILERS_AT_ONCE) as pool:
            list(pool.map(_run, commands))
        library = pathlib.Path(folder) / "library.so"
        _run([*program, "-shared", *objects, *link_flags, "-o", library])
        _seal(library)
        library.chmod(0o755)  # whatever the umask: only the owner may write what will run
        os.replace(library, target)


def is_intact(library) -> bool:
    """Whether the file is as `compile_library` wrote it.

    The dynamic linker dies of a bus error on half a library. Behind it, where the linker does not
    look, is the checksum of what comes before. It finds damage and no attack: whoever can write the
    library can write its checksum. `kernels/cached.py` checks who can.
    """
    content, seal, digest = library.read_bytes().rpartition(_SEAL)
    return bool(seal) and hashlib.sha256(content).hexdigest().encode() == digest


def _seal(library):
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    with library.open("ab") as file:
        file.write(_SEAL + digest.encode())


def _objects(folder, compile_flags, source_directory):
    """Returns the arguments that compile each object, by the object's path; long ones first."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    for_operations = [*FLAGS, *(["-DBBH_X86"] if x86 else []), *compile_flags]
    objects = {}
    sources = sorted(source_directory.glob("*.cc"))
    for path in [path for path in sources if not path.stem.endswith("_simd")]:
        # TensorFlow's headers warn by the thousand, hence -w.
        objects[folder / f"{path.stem}.o"] = [*for_operations, "-w", "-c", path]
    for path in [path for path in sources if path.stem.endswith("_simd")]:
        for name in INSTRUCTION_SETS if x86 else ["generic"]:
            flags = [*FLAGS, f"-DBBH_ISA={name}", *INSTRUCTION_SETS[name]]
            objects[folder / f"{path.stem}.{name}.o"] = [*flags, "-c", path]
    return objects


def _run(command):
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise BuildError(command, str(error)) from error
    if process.returncode:
        status = f"Exit status {process.returncode}."
        raise BuildError(command, "\n".join([process.stdout.rstrip(), status]).lstrip())
