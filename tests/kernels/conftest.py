"""A compiler that counts and does not compile, tiny sources, and a loader that loads no code."""

import types
from pathlib import Path

import pytest
import tensorflow as tf

from bayes_by_hypernet.kernels import build, library

# Its last argument is the file to write; `.calls` beside it holds a line per call.
COMPILER = """#!/bin/sh
echo "$*" >> "$0.calls"
for target; do :; done
{body}
"""


class FakeCompiler:
    """A script that $CXX names; what it does can be replaced while a test runs."""

    def __init__(self, path):
        self.path = path
        self._calls = path.with_name(f"{path.name}.calls")
        self.write('echo "a library" > "$target"')

    def write(self, body):
        self.path.write_text(COMPILER.format(body=body))
        self.path.chmod(0o755)

    @property
    def calls(self):
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    @property
    def num_libraries(self):
        """How often it was asked to link."""
        return sum("-shared" in call for call in self.calls)


@pytest.fixture
def sources(tmp_path):
    """A folder with one source of each kind."""
    folder = tmp_path / "src"
    folder.mkdir()
    for name in ("add_op.cc", "sum_simd.cc", "sum.h"):
        (folder / name).write_text(f"// {name}\n")
    return folder


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "fake-c++"
    monkeypatch.setenv("CXX", str(path))
    return FakeCompiler(path)


@pytest.fixture
def new_process(sources, tmp_path, monkeypatch):
    """An empty machine with TensorFlow 2.21.0; calling it forgets what this process has found."""

    def load_op_library(path):
        if b"undefined symbol" in Path(path).read_bytes():
            raise tf.errors.NotFoundError(None, None, "undefined symbol: _ZN10tensorflow")
        return types.SimpleNamespace(path=Path(path))

    def forget():
        monkeypatch.setattr(library, "_found", None)

    forget()
    monkeypatch.setattr(tf, "load_op_library", load_op_library)
    monkeypatch.setattr(tf, "__version__", "2.21.0")
    monkeypatch.setattr(build, "SOURCE_DIRECTORY", sources)
    monkeypatch.setattr(library, "PACKAGE_FOLDER", tmp_path / "package")
    monkeypatch.setenv("BBH_CACHE_DIR", str(tmp_path / "cache"))
    for name in (library.ENVIRONMENT_VARIABLE, library.OLD_ENVIRONMENT_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return forget
