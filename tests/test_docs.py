"""The Python blocks of the pages in docs/ run as printed, in order; their table is true."""

import json
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
        exec(compile(source, str(page), "exec"), namespace)


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
