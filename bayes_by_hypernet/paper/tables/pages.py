"""Keeps the project's pages and flagfiles true to the results."""

import pathlib

from bayes_by_hypernet import files
from bayes_by_hypernet.paper.tables.findings import attacks_markdown, posterior_markdown
from bayes_by_hypernet.paper.tables.flagfiles import (
    flagfile_headers,
    flagfiles_markdown,
    replace_header,
)
from bayes_by_hypernet.paper.tables.formats import update_blocks
from bayes_by_hypernet.paper.tables.report import report, rows_markdown
from bayes_by_hypernet.paper.tables.shift import shift_markdown


def page_blocks(found: dict, step_times=()) -> dict:
    """Returns the blocks between the markers of the project's pages, by the markers' name.

    Args:
        found: What `find_runs` found.
        step_times: See `read_step_times`.
    """
    runs = found.values()
    return {
        # README.md
        "mnist-quick-table": rows_markdown(runs, "quick", "lenet", step_times),
        "cifar5-quick-table": rows_markdown(runs, "quick", "resnet32", step_times),
        # results/README.md
        "tables": report(runs, "markdown", step_times=step_times),
        "attacks": attacks_markdown(found),
        "shift": shift_markdown(found),
        "posterior": posterior_markdown(found),
        # flags/README.md
        "flagfiles": flagfiles_markdown(runs),
    }


def update_pages(paths, found: dict, step_times=()) -> list:
    """Updates the marked tables of Markdown pages; returns the paths of the pages that changed.

    Raises:
        ValueError: If a page has no markers, or a marker more than once or by halves.
    """
    blocks = page_blocks(found, step_times)
    paths = map(pathlib.Path, paths)
    return [path for path in paths if _rewrite(path, update_blocks, blocks)]


def update_headers(folder, found: dict) -> list:
    """Updates the headers of the flagfiles below a folder; returns those that changed."""
    headers = flagfile_headers(found.values()).items()
    paths = {pathlib.Path(folder, name): header for name, header in headers}
    return [path for path, header in paths.items() if _rewrite(path, replace_header, header)]


def _rewrite(path, change, *arguments):
    """Writes `change(text, *arguments)` in place of a file's text; whether that is another one."""
    before = path.read_text(encoding="utf-8")
    after = change(before, *arguments)
    if after != before:
        files.write_text(path, after)
    return after != before
