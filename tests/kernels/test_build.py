"""What is compiled with which flags, into which file, and what a failure says."""

import ast
import os
import platform
import shlex
import subprocess
import sys

import pytest

from bayes_by_hypernet.kernels import build

COMPILE_FLAGS = ["-I/somewhere/include", "-D_GLIBCXX_USE_CXX11_ABI=1", "--std=c++17"]
LINK_FLAGS = ["-L/somewhere", "-l:libtensorflow_framework.so.2"]


@pytest.fixture
def compile_sources(sources, compiler, tmp_path):
    def compile_sources(target=tmp_path / "out" / "library.so"):
        build.compile_library(target, COMPILE_FLAGS, LINK_FLAGS, str(compiler.path), sources)
        return target

    return compile_sources


def machine(monkeypatch, name):
    monkeypatch.setattr(platform, "machine", lambda: name)


class TestCompileLibrary:
    def test_each_instruction_set_of_x86(self, compile_sources, compiler, sources, monkeypatch):
        machine(monkeypatch, "x86_64")
        compile_sources()
        *calls, link = map(shlex.split, compiler.calls)
        [operation] = [call for call in calls if str(sources / "add_op.cc") in call]
        assert {"-O3", "-fPIC", "-w", "-DBBH_X86", *COMPILE_FLAGS} <= set(operation)
        flags = {}
        for call in calls:
            if str(sources / "sum_simd.cc") in call:
                [name] = [flag for flag in call if flag.startswith("-DBBH_ISA=")]
                flags[name.partition("=")[2]] = {flag for flag in call if flag.startswith("-m")}
                assert "-O3" in call and not set(COMPILE_FLAGS) & set(call)
        assert flags["generic"] == set() and flags["avx2"] == {"-mavx2", "-mfma"}
        assert {"-mavx512f", "-mavx512vl", "-mfma"} < flags["avx512"]
        assert len(calls) == 4 and len(flags) == 3
        objects = {call[-1] for call in calls}
        assert objects < set(link) and link[:-2][-len(LINK_FLAGS) :] == LINK_FLAGS
        assert not any("fast-math" in call for call in compiler.calls)

    def test_elsewhere_only_the_generic_one(self, compile_sources, compiler, monkeypatch):
        machine(monkeypatch, "aarch64")
        compile_sources()
        assert len(compiler.calls) == 3  # operation, generic numerics, link
        assert sum("-DBBH_ISA=generic" in call for call in compiler.calls) == 1
        assert "-DBBH_X86" not in "".join(compiler.calls)

    def test_publishes_the_library_and_nothing_else(self, compile_sources):
        target = compile_sources()
        assert build.is_intact(target)
        assert list(target.parent.iterdir()) == [target]

    def test_a_failure_keeps_the_old_library(self, compile_sources, compiler):
        target = compile_sources()
        before = target.read_bytes()
        compiler.write("exit 1")
        with pytest.raises(build.BuildError):
            compile_sources()
        assert target.read_bytes() == before
        assert list(target.parent.iterdir()) == [target]

    def test_a_failure_shows_the_command_and_the_end_of_its_output(self, compile_sources, compiler):
        compiler.write("seq 1 50 | sed 's/^/line /'; echo 'error: expected ;' >&2; exit 3")
        with pytest.raises(build.BuildError) as caught:
            compile_sources()
        error = caught.value
        assert str(compiler.path) in error.command and " -c " in error.command
        for part in (error.command, "line 50\n", "error: expected ;", "Exit status 3"):
            assert part in str(error)
        assert "line 5\n" not in str(error) and "line 5\n" in error.output

    def test_a_failure_to_link_too(self, compile_sources, compiler):
        compiler.write('case "$*" in *-shared*) echo no; exit 1;; esac; echo > "$target"')
        with pytest.raises(build.BuildError, match="-shared"):
            compile_sources()

    def test_a_compiler_that_does_not_run(self, compile_sources, compiler):
        compiler.path.chmod(0o644)
        with pytest.raises(build.BuildError, match="Permission denied"):
            compile_sources()

    def test_no_sources(self, compile_sources, compiler, sources):
        for path in sources.iterdir():
            path.unlink()
        with pytest.raises(build.BuildError, match=f"no C.. sources in {sources}"):
            compile_sources()
        assert not compiler.calls


class TestNames:
    def test_name_says_version_machine_and_sources(self, sources, monkeypatch):
        machine(monkeypatch, "x86_64")
        digest = build.source_hash(COMPILE_FLAGS, sources)
        name = build.library_name("2.21.0", COMPILE_FLAGS, sources)
        assert name == f"bbh_ops-tf2.21.0-x86_64-{digest}.so" and len(digest) == 12

    @pytest.mark.parametrize("change", ["content", "header", "name", "new", "flags", "ours"])
    def test_hash_changes_with(self, change, sources, monkeypatch):
        before, flags = build.source_hash(COMPILE_FLAGS, sources), COMPILE_FLAGS
        if change == "content":
            (sources / "sum_simd.cc").write_text("// another\n")
        elif change == "header":
            (sources / "sum.h").write_text("// another\n")
        elif change == "name":
            (sources / "add_op.cc").rename(sources / "plus_op.cc")
        elif change == "new":
            (sources / "empty_op.cc").touch()
        elif change == "flags":
            flags = [flag.replace("ABI=1", "ABI=0") for flag in flags]
        else:
            monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
        assert build.source_hash(flags, sources) != before

    def test_hash_does_not_change_with_the_place(self, sources):
        before = build.source_hash(COMPILE_FLAGS, sources)
        moved = sources.rename(sources.with_name("moved"))
        (moved / "notes.txt").touch()
        elsewhere = [flag.replace("somewhere", "elsewhere") for flag in COMPILE_FLAGS]
        assert build.source_hash(elsewhere, moved) == before

    def test_finds_libraries_of_every_version(self, tmp_path):
        fitting = tmp_path / "bbh_ops-tf2.21.0-x86_64-0123456789ab.so"
        candidate = tmp_path / "bbh_ops-tf2.22.0-rc1-aarch64-abcdef012345.so"
        for path in (fitting, candidate, tmp_path / "other.so", tmp_path / "bbh_ops-new.so"):
            path.touch()
        assert build.find_libraries(tmp_path) == {
            fitting: ("2.21.0", "x86_64", "0123456789ab"),
            candidate: ("2.22.0-rc1", "aarch64", "abcdef012345"),
        }


class TestFindCompiler:
    def test_environment_comes_first(self, compiler, monkeypatch):
        assert build.find_compiler() == str(compiler.path)
        monkeypatch.setenv("CXX", f"{compiler.path} -g")
        assert build.find_compiler() == f"{compiler.path} -g"

    def test_environment_is_not_overruled(self, monkeypatch):
        monkeypatch.setenv("CXX", "no-such-compiler")
        assert build.find_compiler() is None

    def test_else_the_usual_ones_in_order(self, tmp_path, compiler, monkeypatch):
        monkeypatch.setenv("CXX", " ")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert build.find_compiler() is None
        for name in ("clang++", "g++", "c++"):
            os.link(compiler.path, tmp_path / name)
            assert build.find_compiler() == str(tmp_path / name)


class TestIsIntact:
    @pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "longer"])
    def test_finds(self, damage, compile_sources):
        target = compile_sources()
        content = bytearray(target.read_bytes())
        if damage == "flipped":
            content[3] ^= 1
        damaged = {"truncated": content[:-20], "empty": b"", "foreign": b"\x7fELF"}
        target.write_bytes(damaged.get(damage, content + b"!" * (damage == "longer")))
        assert not build.is_intact(target)


def test_needs_nothing_but_the_standard_library():
    tree = ast.parse(open(build.__file__).read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] in sys.stdlib_module_names
    subprocess.run([sys.executable, "-I", "-S", build.__file__], check=True)
