"""Markup in whatever names runs carry is text: in the page, its attributes, tables and files."""

import html.parser
import json

import pytest
import run_folders

from bayes_by_hypernet.paper import tables
from bayes_by_hypernet.paper.report import write_report
from bayes_by_hypernet.paper.tables.formats import format_markdown, update_blocks

MARKUP = "x\" onerror='alert(1)'><script>alert(2)</script>|{{ 7 * 7 }}"


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


def test_a_page_of_runs_with_markup_in_their_names(tmp_path):
    name = MARKUP.replace("/", "")
    run = tmp_path / "runs" / name
    given = {"dataset": f"../../../{MARKUP}", "fallback_reason": MARKUP, "hardware": MARKUP}
    run_folders.make(run, "map", batch_size=7, **given)
    run_folders.shift_record(run, {"jpeg": 1})
    (run / "figures").mkdir()
    (run / "figures" / "examples.png").write_bytes(b"an image")
    page = write_report(tables.find_runs(tmp_path / "runs"), tmp_path / "out" / "page")
    found = Tags(page.read_text())
    assert "script" not in found.tags and "onerror" not in found.attributes
    assert name in found.text and MARKUP in found.text
    images = [path for path in tmp_path.rglob("*.png") if run not in path.parents]
    assert images and all(path.parent == page.parent / "figures" for path in images)


@pytest.mark.parametrize("cell", [MARKUP, "a|b", "two\nlines", "<!-- /tables -->"])
def test_markdown_cells_stay_cells(cell):
    text = format_markdown(["Run", "NLL"], [[cell, "1"]])
    assert len(text.splitlines()) == 3 and "<" not in text
    last = text.splitlines()[-1].replace(r"\|", "")
    assert last.count("|") == 3
    page = "<!-- tables -->\n<!-- /tables -->\nthe end"
    once = update_blocks(page, {"tables": text})
    assert update_blocks(once, {"tables": text}) == once and once.endswith("the end")


def test_markup_in_methods_is_refused(tmp_path):
    run = tmp_path / "runs" / "run"
    run_folders.make(run, "map")
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps({**results, "method": MARKUP}))
    with pytest.raises((KeyError, ValueError)):
        write_report(tables.find_runs(tmp_path / "runs"), tmp_path / "out")
