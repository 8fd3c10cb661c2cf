"""Every tutorial runs, cut to a small size; its page and notebook show the script's code."""

import importlib.util
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.py"))

spec = importlib.util.spec_from_file_location("tutobooks", FOLDER.with_name("tutobooks.py"))
tutobooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tutobooks)


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    _, cells = tutobooks.parse(path.read_text(encoding="utf-8"))
    assert any(output.text for output in tutobooks.run(cells, tutobooks.cut))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_page_and_notebook_are_of_this_script(path):
    header, cells = tutobooks.parse(path.read_text(encoding="utf-8"))
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    assert page.startswith(f"# {header['Title']}\n")
    again = f"run: python docs/tutobooks.py run docs/tutorials/{path.name}"
    position = 0
    for cell in cells:
        shown = tutobooks.shown(cell.source)
        assert shown in page[position:], again
        position = page.index(shown, position) + len(shown)
    notebook = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert notebook == tutobooks.notebook(header, cells), again


TEXT = '''"""
Title: T
Author: A
Date created: 2026/01/01
Last modified: 2026/01/02
Description: D
"""

"""
## Text
"""

n = 10  # in tests: 2
print(n)

"""More text"""
'''


class TestTutobooks:
    def test_parses_and_runs(self):
        header, cells = tutobooks.parse(TEXT)
        assert header["Description"] == "D"
        assert [cell.kind for cell in cells] == ["markdown", "code", "markdown"]
        assert [output.text for output in tutobooks.run(cells)] == ["", "10", ""]
        assert [output.text for output in tutobooks.run(cells, tutobooks.cut)] == ["", "2", ""]

    def test_a_page_shows_code_outputs_and_no_values_for_tests(self):
        header, cells = tutobooks.parse(TEXT)
        page = tutobooks.page(header, cells, tutobooks.run(cells), "t")
        assert "```python\nn = 10\nprint(n)\n```\n\n```text\n10\n```\n\nMore text\n" in page
        assert "in tests" not in page and "[notebook](t.ipynb)" in page

    def test_a_header_that_lacks_an_entry_is_refused(self):
        with pytest.raises(ValueError, match="Missing: .*'Author'"):
            tutobooks.parse(TEXT.replace("Author: A\n", ""))
