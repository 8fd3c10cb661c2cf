"""The README's Python blocks run as printed.

The blocks below one `## ` heading share a namespace and a temporary working directory and run in
order; the next heading starts afresh. A comment in the line above a block, unseen by readers:

    <!-- no-test: reason -->                          the block is not run
    <!-- before-test: python launch/mnist.py ... -->  a command to run first, in the same directory:
                                                      what the reader is told to have run by then
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"


class Block(NamedTuple):
    section: str
    line: int  # of the first line of code, from 1
    code: str
    no_test: str | None
    before_test: str | None


def python_blocks(text):
    """The ```python blocks of a Markdown text, in order."""
    blocks, section, fence, code, start, comment = [], "", None, [], 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        opening = re.match(r"(```+)(\w*)", line)
        if fence is None and opening:
            fence, language, code, start = opening[1], opening[2], [], number + 1
        elif fence is not None and line.strip() == fence:
            if language == "python":
                blocks.append(
                    Block(
                        section,
                        start,
                        "\n".join(code) + "\n",
                        comment_value(comment, "no-test"),
                        comment_value(comment, "before-test"),
                    )
                )
            fence, comment = None, ""
        elif fence is not None:
            code.append(line)
        elif line.startswith("## "):
            section, comment = line[3:].strip(), ""
        elif line.strip():
            comment = line
    return blocks


def comment_value(line, name):
    match = re.fullmatch(rf"\s*<!--\s*{name}:\s*(.+?)\s*-->\s*", line)
    return match[1] if match else None


class Section:
    """Runs the blocks of one section in order, each once."""

    def __init__(self, blocks, directory):
        self.blocks, self.directory = blocks, directory
        self.namespace = {"__name__": "__main__"}
        self.num_run = 0
        self.broken = None

    def run_through(self, block, monkeypatch):
        """Runs what comes before the block, if nobody has yet, and the block."""
        if self.broken is not None:
            pytest.skip(f"the block in line {self.broken} of README.md failed, and this needs it")
        monkeypatch.chdir(self.directory)
        while self.num_run <= self.blocks.index(block):
            current = self.blocks[self.num_run]
            self.num_run += 1
            if current.no_test is None:
                self.run(current)

    def run(self, block):
        self.broken = block.line
        if block.before_test is not None:
            run_command(block.before_test)
        # Blank lines in front: tracebacks, and TensorFlow's AutoGraph, find README.md's own lines.
        source = "\n" * (block.line - 1) + block.code
        exec(compile(source, str(README), "exec"), self.namespace)
        self.broken = None


def run_command(command):
    """Runs `python launch/...` with this Python and this repository's launcher."""
    python, launcher, *flags = shlex.split(command)
    if python != "python":
        pytest.fail(f"a before-test command starts with `python`. Received: {command}")
    done = subprocess.run(
        [sys.executable, REPOSITORY / launcher, *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        pytest.fail(f"`{command}` ended with {done.returncode}:\n{done.stdout[-4000:]}")


BLOCKS = python_blocks(README.read_text(encoding="utf-8")) if README.is_file() else []


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    return {
        name: Section([b for b in BLOCKS if b.section == name], tmp_path_factory.mktemp("readme"))
        for name in {block.section for block in BLOCKS}
    }


def test_there_are_python_blocks():
    assert README.is_file(), "README.md is missing"
    assert BLOCKS, "README.md has no ```python block; it shows the package's use in code that runs"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line-{block.line}")
def test_block_runs_as_printed(block, sections, monkeypatch):
    if block.no_test is not None:
        pytest.skip(block.no_test)
    sections[block.section].run_through(block, monkeypatch)


class TestThePythonBlocks:
    TEXT = """# Title

## One

```bash
echo no
```

<!-- no-test: needs a GPU -->
```python
a = 1
```

Text.

```python
b = 2

c = 3
```

## Two

<!-- before-test: python launch/mnist.py --epochs=1 -->

```python
d = 4
```
"""

    def test_finds_blocks_lines_sections_and_comments(self):
        assert python_blocks(self.TEXT) == [
            Block("One", 11, "a = 1\n", "needs a GPU", None),
            Block("One", 17, "b = 2\n\nc = 3\n", None, None),
            Block("Two", 27, "d = 4\n", None, "python launch/mnist.py --epochs=1"),
        ]

    def test_later_blocks_see_earlier_names_and_run_once(self, tmp_path, monkeypatch):
        first = Block("One", 1, "names = ['first']\n", None, None)
        second = Block("One", 2, "names.append('second')\n", None, None)
        section = Section([first, second], tmp_path)
        section.run_through(second, monkeypatch)
        section.run_through(second, monkeypatch)
        assert section.namespace["names"] == ["first", "second"]

    def test_a_broken_block_fails_and_the_later_ones_are_skipped(self, tmp_path, monkeypatch):
        first = Block("One", 1, "raise KeyError('broken')\n", None, None)
        second = Block("One", 2, "pass\n", None, None)
        section = Section([first, second], tmp_path)
        with pytest.raises(KeyError, match="broken"):
            section.run_through(first, monkeypatch)
        with pytest.raises(pytest.skip.Exception, match="line 1 of README.md"):
            section.run_through(second, monkeypatch)
