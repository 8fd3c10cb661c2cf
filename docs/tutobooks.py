"""Tutorials: one Python file each, which is also a page of the site and a notebook.

    python docs/tutobooks.py run docs/tutorials/regression.py   runs it, writes page, figures, notebook
    python docs/tutobooks.py run docs/tutorials/*.py

A tutorial looks as on keras.io: a header (title, authors, dates, description) in the first docstring,
then docstrings of Markdown and code in turns. A line such as `epochs = 60  # in tests: 2` gives the
value that tests run it with. Page and notebook leave that comment out.

Each piece of code is run in order. What it prints, and the figures that it shows, stand below it.
"""

import argparse
import ast
import contextlib
import io
import json
import os
import pathlib
import re
import sys
from typing import NamedTuple

HEADER = ("Title", "Author", "Date created", "Last modified", "Description")
IN_TESTS = re.compile(r"^(\w+ = )(.+?)  # in tests: (.+)$", re.MULTILINE)


class Cell(NamedTuple):
    """A piece of a tutorial: `kind` is `"markdown"` or `"code"`."""

    kind: str
    source: str


def parse(text):
    """Returns the header, a dict, and the `Cell`s of a tutorial's text.

    Raises:
        ValueError: If the header lacks an entry.
    """
    lines, cells, last = text.splitlines(), [], 0
    for node in ast.parse(text).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            cells += [
                Cell("code", "\n".join(lines[last : node.lineno - 1]).strip("\n")),
                Cell("markdown", node.value.value.strip()),
            ]
            last = node.end_lineno
    cells.append(Cell("code", "\n".join(lines[last:]).strip("\n")))
    first, *cells = [cell for cell in cells if cell.source.strip()]
    header = dict(line.split(": ", 1) for line in first.source.splitlines() if ": " in line)
    missing = [name for name in HEADER if name not in header]
    if missing:
        raise ValueError(f"The header of a tutorial must hold {HEADER}. Missing: {missing}")
    return header, cells


def shown(source):
    """Returns code as a reader sees it: without the values for tests."""
    return IN_TESTS.sub(r"\1\2", source)


def cut(source):
    """Returns code with the values for tests."""
    return IN_TESTS.sub(r"\1\3", source)


class Output(NamedTuple):
    """What a piece of code printed, and the paths of its figures."""

    text: str
    figures: list


def run(cells, change=lambda source: source, figure_path=None):
    """Runs the code of a tutorial in order; yields the `Output` of every cell.

    Args:
        cells: `Cell`s.
        change: Function of a source that returns what is to be run: `cut` in tests.
        figure_path: Function of a figure's number that returns where it is written; None: nowhere.
    """
    import matplotlib.pyplot as plt

    namespace, number = {"__name__": "__main__"}, 0
    for cell in cells:
        printed, figures = io.StringIO(), []
        if cell.kind == "code":
            with contextlib.redirect_stdout(printed):
                exec(compile(change(cell.source), "<tutorial>", "exec"), namespace)
            for figure in map(plt.figure, plt.get_fignums()):
                number += 1
                if figure_path:
                    figures.append(figure_path(number))
                    figure.savefig(figures[-1], dpi=100, bbox_inches="tight")
            plt.close("all")
        yield Output(printed.getvalue().rstrip(), figures)


def page(header, cells, outputs, source_name):
    """Returns the Markdown page of a tutorial that was run."""
    parts = [f"# {header['Title']}", f"*{header['Description']}*"]
    parts.append(
        f"{header['Author']}, {header['Date created']}; last changed {header['Last modified']}. "
        f"As a [script]({source_name}.py) and a [notebook]({source_name}.ipynb)."
    )
    for cell, output in zip(cells, outputs, strict=True):
        if cell.kind == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{shown(cell.source)}\n```")
        if output.text:
            parts.append(f"```text\n{output.text}\n```")
        parts += [f"![Figure of the code above]({path.name})" for path in output.figures]
    return "\n\n".join(parts) + "\n"


def notebook(header, cells):
    """Returns a Jupyter notebook of a tutorial, without outputs, a dict."""
    title = Cell("markdown", f"# {header['Title']}\n\n{header['Description']}")
    entries = []
    for number, cell in enumerate([title, *cells]):
        source = shown(cell.source).splitlines(keepends=True)
        entry = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}, "source": source}
        entries.append(
            {**entry, "execution_count": None, "outputs": []} if cell.kind == "code" else entry
        )
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": entries,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write(path):
    """Runs a tutorial in full; writes its page, figures and notebook beside it."""
    header, cells = parse(path.read_text(encoding="utf-8"))
    outputs = list(run(cells, figure_path=lambda n: path.with_name(f"{path.stem}_{n}.png")))
    text = page(header, cells, outputs, path.stem)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    contents = json.dumps(notebook(header, cells), indent=1)
    path.with_suffix(".ipynb").write_text(contents + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run"])
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    paths = parser.parse_args().paths
    os.environ.setdefault("MPLBACKEND", "Agg")
    for path in paths:
        print(f"{path} ...", file=sys.stderr)
        write(path)


if __name__ == "__main__":
    main()
