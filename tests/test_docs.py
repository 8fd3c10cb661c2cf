"""The Python blocks of the pages in docs/ run as printed, in order; their table is true.

A ```text block that directly follows a Python block is what that prints. If it starts with the name
of an error or a warning, the Python block ends with it.
"""

import contextlib
import io
import json
import math
import re
import warnings
from pathlib import Path

import pytest
from test_readme import python_blocks, run_command

from bayes_by_hypernet.paper.networks import lenet, resnet32
from bayes_by_hypernet.posteriors.hypernet import count_parameters
from bayes_by_hypernet.posteriors.selection import select

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(p for p in (REPOSITORY / "docs").glob("*.md") if python_blocks(p.read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8")):
        if block.before_test is not None:
            run_command(block.before_test)
        source = "\n" * (block.line - 1) + block.code  # tracebacks find the page's own lines
        output = OUTPUTS.get((page, block.line))
        check_block(compile(source, str(page), "exec"), namespace, output)


LINES = r"((?:(?!```).*\n)*)"
OUTPUT = re.compile(rf"^```python\n{LINES}```\n+```text\n{LINES}```$", flags=re.MULTILINE)


def outputs(text):
    """Returns what blocks print, by the line of their first line of code."""
    return {text[: match.start(1)].count("\n") + 1: match[2] for match in OUTPUT.finditer(text)}


OUTPUTS = {
    (page, line): output
    for page in PAGES
    for line, output in outputs(page.read_text(encoding="utf-8")).items()
}
NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)")


def check_block(code, namespace, output):
    """Runs a block and compares what it prints, warns or raises with `output`, if that is given."""
    ends = re.match(r"(\w+(?:Error|Warning)): (.*)", output or "", flags=re.DOTALL)
    printed, problems = io.StringIO(), []
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exec(code, namespace)
        except Exception as error:
            if not ends:
                raise
            problems.append(error)
    problems += [warning.message for warning in warned]
    if ends:
        kind, sentence = ends[1], " ".join(ends[2].split())
        found = [" ".join(str(p).split()) for p in problems if type(p).__name__ == kind]
        assert any(sentence in message for message in found), f"{kind}: {sentence}\n{found}"
    elif output is not None:
        check_output(printed.getvalue(), output)


def check_output(printed, output):
    """Compares texts; numbers need to be alike, since processors round differently in training."""
    parts = [NUMBER.split(" ".join(text.split())) for text in (printed, output)]
    assert parts[0][::2] == parts[1][::2], printed
    for number, shown in zip(parts[0][1::2], parts[1][1::2], strict=True):
        assert math.isclose(float(number), float(shown), rel_tol=0.3, abs_tol=0.05), printed


class TestTheOutputs:
    TEXT = "```python\nx = 2\n```\n\nText\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"

    def test_finds_what_directly_follows(self):
        assert outputs(self.TEXT) == {8: "1\n"}

    def test_compares_words_exactly_and_numbers_roughly(self):
        check_output("error 1.02 of  7", "error 1.0\nof 7\n")
        for printed in ("errors 1.0 of 7", "error 2.0 of 7"):
            with pytest.raises(AssertionError):
                check_output(printed, "error 1.0 of 7")

    def test_expects_the_error_that_is_shown(self):
        output = "ValueError: too\n  small\n"
        check_block("raise ValueError('It is too small.')", {}, output)
        for code in ("raise ValueError('It is too large.')", "x = 1"):
            with pytest.raises(AssertionError):
                check_block(code, {}, output)
        with pytest.raises(KeyError):
            check_block("raise KeyError(1)", {}, None)

    def test_expects_the_warning_that_is_shown(self):
        code = "import warnings; warnings.warn('It is late.')"
        check_block(code, {}, "UserWarning: It is late.\n")


class TestTheTableOfParameters:
    COUNTS = json.loads((REPOSITORY / "docs" / "parameters.json").read_text())

    def test_the_page_shows_the_file(self):
        text = (REPOSITORY / "docs" / "bayesify.md").read_text(encoding="utf-8")
        for name, counts in self.COUNTS.items():
            row = " | ".join([name, *(f"{n:,}" for n in counts.values())])
            assert f"| {row} |" in text

    @pytest.mark.parametrize("name, make", [("LeNet", lenet), ("ResNet-32", resnet32)])
    def test_the_file_is_true(self, name, make):
        shapes = [tuple(variable.shape) for variable in select(make()).values()]
        for label, architecture in (
            ("layer-wise", "layerwise"),
            ("sliced", "sliced"),
            ("single", "single"),
            ("chunked", "chunked"),
        ):
            assert self.COUNTS[name][label] == sum(count_parameters(shapes, architecture))
