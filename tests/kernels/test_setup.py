"""What setup.py does about the C++ operations: builds them where it can, installs in any case."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bayes_by_hypernet.kernels import build

REPOSITORY = Path(__file__).resolve().parents[2]

TENSORFLOW = """
import types
__version__ = "0.0.1"
sysconfig = types.SimpleNamespace(get_compile_flags=list, get_link_flags=list)
"""
HIDE_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = None
sys.argv = ["setup.py", *sys.argv[1:]]
runpy.run_path("setup.py", run_name="__main__")
"""


@pytest.fixture
def run_setup(tmp_path):
    """Runs `setup.py build` into an empty folder; returns what it printed and the ops/ it built."""

    def run_setup(program):
        (tmp_path / "tensorflow.py").write_text(TENSORFLOW)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, *program, "build", f"--build-base={tmp_path}/build"]
        process = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        [operations] = tmp_path.glob("build/lib*/bayes_by_hypernet/kernels")
        return process.stdout, operations

    return run_setup


def test_without_tensorflow_it_installs_the_sources(run_setup, compiler):
    _, operations = run_setup(["-c", HIDE_TENSORFLOW])
    assert not compiler.calls and not list(operations.glob("*.so"))
    assert operations.parents[1].name == "lib", "the wheel would be bound to this platform"
    assert_same_sources(operations)


def test_with_tensorflow_it_builds_the_library(run_setup, compiler):
    for _ in range(2):
        _, operations = run_setup(["setup.py"])
        [path] = operations.glob("*.so")
        assert path.name == build.library_name("0.0.1", [], operations / "src")
        assert build.is_intact(path) and compiler.num_libraries == 1
        # What another version left is not to be shipped.
        (operations / path.name.replace("0.0.1", "0.0.0")).touch()
    assert_same_sources(operations)


def test_a_failure_is_told_and_stops_nothing(run_setup, compiler):
    compiler.write("echo 'error: no Eigen'; exit 1")
    output, operations = run_setup(["setup.py"])
    assert "NOTICE: The C++ operations were not compiled" in output and "no Eigen" in output
    assert not list(operations.glob("*.so"))
    assert_same_sources(operations)


def assert_same_sources(operations):
    sources = build.SOURCE_DIRECTORY
    assert build.source_hash([], operations / "src") == build.source_hash([], sources)
