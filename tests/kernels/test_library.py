"""Which library is used, what BBH_CPP_OPS says, and `python -m bayes_by_hypernet.kernels`."""

import concurrent.futures
import json
import os
import platform
import subprocess
import sys

import pytest
import tensorflow as tf

from bayes_by_hypernet.kernels import __main__, build, cached, library

TINY_OPERATION = """
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tiny.h"

REGISTER_OP("BayesByHypernet>InstructionSet")
    .Output("name: string")
    .SetShapeFn(tensorflow::shape_inference::ScalarShape);

class InstructionSet : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(tensorflow::OpKernelContext* context) override {
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, {}, &output));
    output->scalar<tensorflow::tstring>()() = generic::name();
#ifdef BBH_X86
    output->scalar<tensorflow::tstring>()().append(avx2::name()).append(avx512::name());
#endif
  }
};
REGISTER_KERNEL_BUILDER(
    Name("BayesByHypernet>InstructionSet").Device(tensorflow::DEVICE_CPU), InstructionSet);
"""
TINY_HEADER = """
namespace generic { const char* name(); }
namespace avx2 { const char* name(); }
namespace avx512 { const char* name(); }
"""
TINY_NUMERICS = """
#include "tiny.h"
#define TEXT(name) #name
#define NAME(name) TEXT(name)
const char* BBH_ISA::name() { return NAME(BBH_ISA) " "; }
"""
# A process of its own: an operation's name can be registered only once.
LOAD_TINY = """
import dataclasses, json, pathlib, sys
from bayes_by_hypernet.kernels import __main__, build, library
build.SOURCE_DIRECTORY = library.PACKAGE_FOLDER = pathlib.Path(sys.argv[1])
print(json.dumps([library.instruction_set(), str(library.status().path)]))
__main__.main([])
"""


def write_library(folder, name):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("a library\n")
    build._seal(folder / name)
    return folder / name


class TestChoice:
    @pytest.mark.parametrize("value", ["auto", "custom_op", "tensorflow"])
    def test_follows_the_environment(self, value, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", value)
        assert library.choice() == value

    def test_default(self, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "")
        assert library.choice() == "auto"
        monkeypatch.delenv("BBH_CPP_OPS")
        assert library.choice() == "auto"

    def test_the_old_name_still_works_and_warns(self, monkeypatch):
        monkeypatch.delenv("BBH_CPP_OPS", raising=False)
        monkeypatch.setenv("BBH_KERNEL_KL", "tensorflow")
        with pytest.warns(DeprecationWarning, match="BBH_KERNEL_KL is now called BBH_CPP_OPS"):
            assert library.choice() == "tensorflow"
        monkeypatch.setenv("BBH_KERNEL_KL", "gpu")
        with pytest.raises(ValueError, match="`BBH_CPP_OPS` must .* Received: BBH_KERNEL_KL='gpu'"):
            library.choice()

    def test_the_new_name_wins_and_does_not_warn(self, monkeypatch, recwarn):
        monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        monkeypatch.setenv("BBH_KERNEL_KL", "tensorflow")
        assert library.choice() == "custom_op" and not recwarn.list

    @pytest.mark.parametrize("function", [library.choice, library.load, library.status])
    def test_anything_else_is_refused(self, function, new_process, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "gpu")
        with pytest.raises(ValueError, match="must be one of auto, custom_op, tensorflow.*'gpu'"):
            function()

    def test_tensorflow_looks_for_nothing(self, new_process, compiler, tmp_path, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "tensorflow")
        monkeypatch.setattr(library, "_search", None)
        assert library.load() is None and library.instruction_set() is None
        status = library.status()
        assert not status.active and "BBH_CPP_OPS=tensorflow" in status.reason
        assert not compiler.calls and not (tmp_path / "cache").exists()

    def test_custom_op_stops_without_a_library(self, new_process, compiler, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        compiler.write("exit 1")
        for _ in range(2):
            with pytest.raises(RuntimeError, match="BBH_CPP_OPS=custom_op.*failed.txt"):
                library.load()
        assert not library.status().active

    def test_custom_op_loads_the_library(self, new_process, compiler, monkeypatch):
        monkeypatch.setenv("BBH_CPP_OPS", "custom_op")
        assert library.load().path == library.status().path


class TestSearch:
    def test_installed_library_comes_first(self, new_process, compiler):
        library.load()
        new_process()
        path = write_library(library.PACKAGE_FOLDER, cached.library_name())
        assert library.load().path == path
        assert library.status().reason == "Compiled at installation."

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (("tf2.21.0", "tf2.20.0"), "was built for TensorFlow 2.20.0, this is 2.21.0."),
            ((platform.machine(), "z80"), f"was built for z80, this is {platform.machine()}."),
            (("hash", "0123456789ab"), "was built from other sources or with other flags."),
        ],
    )
    def test_one_that_does_not_fit_is_named(
        self, change, reason, new_process, compiler, sources, monkeypatch
    ):
        old, new = change
        if old == "hash":
            old = build.source_hash(tf.sysconfig.get_compile_flags(), sources)
        path = write_library(library.PACKAGE_FOLDER, cached.library_name().replace(old, new))
        assert library.load().path == cached.folder() / cached.library_name()
        assert f"{path} {reason}" in library.status().reason
        assert library.status().built_for == ("2.20.0" if "2.20.0" in reason else "2.21.0")
        new_process()
        monkeypatch.setenv("BBH_CACHE_DIR", str(path))
        assert library.load() is None
        assert f"{path} {reason}" in library.status().reason

    def test_a_damaged_one_is_named(self, new_process, compiler, monkeypatch):
        path = write_library(library.PACKAGE_FOLDER, cached.library_name())
        path.write_bytes(path.read_bytes()[:-1])
        assert library.load().path == cached.folder() / path.name
        assert f"The library {path} is damaged" in library.status().reason
        new_process()
        monkeypatch.setenv("BBH_CACHE_DIR", str(path))
        assert library.load() is None
        assert f"The library {path} is damaged" in library.status().reason

    def test_threads_look_once(self, new_process, compiler):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            modules = list(pool.map(lambda _: library.load(), range(8)))
        assert len(set(map(id, modules))) == 1
        assert compiler.num_libraries == 1

    def test_using_tensorflow_instead_is_told_once(self, new_process, compiler, caplog):
        compiler.write("exit 1")
        library.load()
        caplog.clear()
        new_process()
        library.load()
        library.load()
        [record] = caplog.records
        assert record.levelname == "WARNING" and "failed before" in record.getMessage()


class TestMain:
    def test_reports_what_is_active(self, new_process, compiler, capsys, monkeypatch):
        monkeypatch.setattr(library, "instruction_set", lambda: "avx2")
        assert __main__.main([]) == 0
        output = capsys.readouterr().out
        path = library.status().path
        for part in (
            "active",
            "2.21.0",
            "auto (not set)",
            path,
            path.parent,
            compiler.path,
            "avx2",
        ):
            assert f"  {part}\n" in output + "\n", part

    def test_reports_why_nothing_is(self, new_process, compiler, capsys):
        compiler.write("exit 1")
        assert __main__.main([]) == 0
        output = capsys.readouterr().out
        assert "not active" in output and str(library.status().failure_note) in output

    def test_rebuild(self, new_process, compiler, capsys, monkeypatch):
        monkeypatch.setattr(library, "instruction_set", lambda: "avx2")
        compiler.write("exit 1")
        library.load()
        note = library.status().failure_note
        new_process()
        assert __main__.main(["--rebuild"]) == 1
        assert note.exists() and str(note) in capsys.readouterr().err
        compiler.write('echo > "$target"')
        for _ in range(2):
            num_libraries = compiler.num_libraries
            assert __main__.main(["--rebuild"]) == 0
            assert compiler.num_libraries == num_libraries + 1
        assert not note.exists()
        assert f"Compiled {library.status().path}\n" in capsys.readouterr().out

    def test_refuses_another_choice(self, new_process, monkeypatch, capsys):
        monkeypatch.setenv("BBH_CPP_OPS", "gpu")
        with pytest.raises(SystemExit) as stopped:
            __main__.main([])
        assert stopped.value.code == 2 and "'gpu'" in capsys.readouterr().err

    def test_as_a_command(self, tmp_path):
        environment = {
            **os.environ,
            "BBH_CPP_OPS": "tensorflow",
            "BBH_CACHE_DIR": str(tmp_path),
        }
        command = [sys.executable, "-m", "bayes_by_hypernet.kernels"]
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        assert "not active" in process.stdout and str(tmp_path / "ops") in process.stdout
        assert "sys.modules" not in process.stderr


@pytest.mark.slow
@pytest.mark.skipif(build.find_compiler() is None, reason="needs a C++ compiler")
def test_a_real_library(tmp_path):
    for name, text in (
        ("tiny_op.cc", TINY_OPERATION),
        ("tiny_simd.cc", TINY_NUMERICS),
        ("tiny.h", TINY_HEADER),
    ):
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "BBH_CACHE_DIR": str(tmp_path / "cache"), "BBH_CPP_OPS": ""}
    command = [sys.executable, "-c", LOAD_TINY, str(tmp_path)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "this happens once" in process.stderr  # visible though nobody set up logging
    answer, report = process.stdout.split("\n", 1)
    names, path = json.loads(answer)
    x86 = platform.machine() == "x86_64"
    assert names.split() == (["generic", "avx2", "avx512"] if x86 else ["generic"])
    assert path in report and names in report and "C++ operations   active" in report


@pytest.mark.skipif(build.find_compiler() is None, reason="needs a C++ compiler")
def test_the_library_of_this_package(monkeypatch):
    # The tests of the operations skip where there are none: this one fails where there should be.
    monkeypatch.delenv("BBH_CPP_OPS", raising=False)
    status = library.status()
    assert status.active, status.reason
    for name in ("independent_kl", "thin_product", "apply_outer_product_adam"):
        assert callable(getattr(library.require(), f"bayes_by_hypernet_{name}"))
    assert library.instruction_set() in build.INSTRUCTION_SETS
