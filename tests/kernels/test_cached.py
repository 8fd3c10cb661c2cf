"""The library in the cache folder: compiled once, whoever comes, not again after a failure."""

import contextlib
import errno
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import tensorflow as tf

from bayes_by_hypernet import cache
from bayes_by_hypernet.kernels import build, cached, library

# In place of TensorFlow and the package, which take seconds to import. Starts at a line of input.
PROCESS = """
import sys, types
sys.path.insert(0, sys.argv[2])
package = types.ModuleType("bayes_by_hypernet")
package.__path__ = [sys.argv[1]]
sys.modules["bayes_by_hypernet"] = package
from bayes_by_hypernet.kernels import library
print("ready", flush=True)
input()
print(library.load())
"""
TENSORFLOW = """
import types
__version__ = "0.0.1"
errors = types.SimpleNamespace(OpError=KeyError)
sysconfig = types.SimpleNamespace(get_compile_flags=list, get_link_flags=list)
def load_op_library(path):
    return f"loaded {path}"
"""


class TestFirstUse:
    def test_compiles_once_and_says_so(self, new_process, compiler, caplog):
        module = library.load()
        assert library.status() == library.Status(
            active=True,
            reason="Compiled on first use. None was compiled at installation.",
            tensorflow_version="2.21.0",
            path=module.path,
        )
        assert module.path.parent == cache.cache_dir() / "ops"
        [record] = [r for r in caplog.records if r.levelname == "WARNING"]
        for part in (str(module.path), "once", "20 to 40 seconds", "BBH_CPP_OPS=tensorflow"):
            assert part in record.getMessage()
        caplog.clear()
        new_process()
        assert library.load().path == module.path
        assert compiler.num_libraries == 1 and not caplog.records

    def test_other_sources_or_another_tensorflow_compile_again(
        self, new_process, compiler, sources, monkeypatch
    ):
        first = library.load().path
        (sources / "sum.h").write_text("// another\n")
        new_process()
        second = library.load().path
        monkeypatch.setattr(tf, "__version__", "2.22.0")
        new_process()
        assert len({first, second, library.load().path}) == 3
        assert compiler.num_libraries == 3

    def test_processes_that_start_at_once_compile_once(self, sources, compiler, tmp_path):
        compiler.write(f'until [ -e {tmp_path}/all ]; do sleep 0.05; done; echo > "$target"')
        (tmp_path / "tensorflow.py").write_text(TENSORFLOW)
        command = [sys.executable, "-c", PROCESS, Path(build.__file__).parents[1], tmp_path]
        environment = {**os.environ, "BBH_CACHE_DIR": str(tmp_path / "cache"), "BBH_CPP_OPS": ""}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with contextlib.ExitStack() as stack:
            processes = [
                stack.enter_context(subprocess.Popen(command, env=environment, text=True, **pipes))
                for _ in range(3)
            ]
            for process in processes:
                assert process.stdout.readline() == "ready\n", process.stderr.read()
            for process in processes:
                process.stdin.write("go\n")
                process.stdin.flush()
            # One of them compiles until this file is there, by when all others wait.
            errors = [process.stderr.readline() for process in processes]
            (tmp_path / "all").touch()
            outputs = [process.communicate() for process in processes]
        assert sum("Compiling C++ operations" in error for error in errors) == 1, errors
        assert sum("waiting for it" in error for error in errors) == 2, errors
        assert compiler.num_libraries == 1
        [path] = (tmp_path / "cache" / "ops").glob("*.so")
        assert outputs == [(f"loaded {path}\n", "")] * 3


class TestDamage:
    @pytest.mark.parametrize("damage", ["truncated", "undefined symbol"])
    def test_a_damaged_library_is_compiled_again_once(
        self, damage, new_process, compiler, tmp_path, caplog
    ):
        path = library.load().path
        if damage == "truncated":
            path.write_bytes(path.read_bytes()[:-10])
        else:
            path.write_bytes(damage.encode())
            build._seal(path)
        new_process()
        assert library.load().path == path
        assert compiler.num_libraries == 2
        assert f"The library {path} " in caplog.text
        new_process()
        assert library.load().path == path
        assert compiler.num_libraries == 2

    def test_is_named_where_nothing_can_be_compiled(self, new_process, compiler, monkeypatch):
        path = library.load().path
        path.write_text("damaged")
        monkeypatch.setenv("CXX", "no-such-compiler")
        new_process()
        assert library.load() is None
        reason = library.status().reason
        assert f"{path} is damaged" in reason and "No C++ compiler" in reason

    def test_what_cannot_be_loaded_is_not_compiled_for_ever(self, new_process, compiler):
        compiler.write('echo "undefined symbol" > "$target"')
        assert library.load() is None
        status = library.status()
        assert "cannot be loaded (undefined symbol: _ZN10tensorflow" in status.reason
        assert status.failure_note.exists() and str(status.failure_note) in status.reason
        new_process()
        assert library.load() is None
        assert compiler.num_libraries == 1

    @pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF" + bytes(60)])
    def test_tensorflow_refuses_what_is_no_library(self, content, tmp_path):
        path = tmp_path / "damaged.so"
        path.write_bytes(content)
        with pytest.raises(cached.LibraryError, match="is damaged: its checksum"):
            cached.load_file(path)
        build._seal(path)
        with pytest.raises(cached.LibraryError, match=f"{path} cannot be loaded"):
            cached.load_file(path)


class TestFailure:
    def test_is_remembered_until_its_note_is_deleted(self, new_process, compiler):
        compiler.write("echo 'error: no Eigen'; exit 1")
        assert library.load() is None
        note = library.status().failure_note
        assert "error: no Eigen" in note.read_text() and "Delete this file" in note.read_text()
        assert note.name.startswith("bbh_ops-tf2.21.0-")
        num_calls = len(compiler.calls)
        new_process()
        assert library.load() is None
        status = library.status()
        assert f"failed before. See {note}; delete it" in status.reason
        assert not status.active and status.failure_note == note
        assert len(compiler.calls) == num_calls
        compiler.write('echo > "$target"')
        note.unlink()
        new_process()
        assert library.status().active

    def test_of_other_sources_does_not_count(self, new_process, compiler, sources):
        compiler.write("exit 1")
        assert library.load() is None
        compiler.write('echo > "$target"')
        (sources / "add_op.cc").write_text("// mended\n")
        new_process()
        assert library.status().active

    def test_an_interruption_is_none(self, new_process, compiler, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(build, "compile_library", interrupted)
            with pytest.raises(KeyboardInterrupt):
                library.load()
        assert library.load() is not None

    def test_no_compiler(self, new_process, monkeypatch, tmp_path):
        monkeypatch.setenv("CXX", "no-such-compiler")
        assert library.load() is None
        assert "No C++ compiler was found" in library.status().reason
        assert not (tmp_path / "cache").exists()

    def test_a_folder_that_cannot_be_written(self, new_process, compiler, tmp_path):
        (tmp_path / "cache").write_text("in the way")
        assert library.load() is None
        reason = library.status().reason
        assert f"{tmp_path}/cache/ops cannot be used" in reason and "BBH_CACHE_DIR" in reason
        assert not compiler.calls

    def test_a_file_system_without_locks(self, new_process, compiler, monkeypatch):
        def flock(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(cached.fcntl, "flock", flock)
        assert library.load() is None
        assert "No locks available" in library.status().reason
        assert not compiler.calls

    def test_no_home_folder(self, new_process, compiler, monkeypatch):
        def unknown():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(
            cached,
            "cache",
            types.SimpleNamespace(cache_dir=unknown, ENVIRONMENT_VARIABLE="BBH_CACHE_DIR"),
        )
        assert library.load() is None
        assert "Could not determine home" in library.status().reason

    def test_an_operating_system_without_locks(self, new_process, compiler, monkeypatch):
        monkeypatch.setattr(cached, "fcntl", None)
        assert library.load() is None
        assert "operating system" in library.status().reason
