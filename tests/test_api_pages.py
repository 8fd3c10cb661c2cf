"""The site's API pages cover every public name, and the examples of all of them are true."""

import doctest
import importlib
import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayes_by_hypernet as bbh

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = REPOSITORY / "docs" / "api"
ENTRY = re.compile(r"^(?:::: |#+ )(bayes_by_hypernet\.[\w.]+)$", flags=re.MULTILINE)
# Their examples need a run, rendered images or ten seconds: tests that have them.
ELSEWHERE = {
    "load": ("tests/paper/test_experiment.py", "bbh.load("),
    "Posterior": ("tests/paper/test_experiment.py", "posterior.predict("),
    "data.load": ("tests/data/test_sources.py", "load("),
    "export.export": ("tests/test_export.py", "bbh.export("),
}


def public_names(module, prefix=""):
    """Returns the names that a public module offers, those of public modules in it too."""
    defined = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    ]
    found = {}
    for name in getattr(module, "__all__", defined):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            found |= public_names(value, f"{prefix}{name}.")
        elif not name.startswith("_"):
            found[prefix + name] = value
    return found


def resolve(path):
    """Returns the object at a dotted path; a function before a module of the same name."""
    module, _, name = path.rpartition(".")
    if module in sys.modules or importlib.util.find_spec(module):
        return getattr(importlib.import_module(module), name)
    raise ValueError(f"{path} is no attribute of a module")


PUBLIC = public_names(bbh)
DOCUMENTED = {
    path: resolve(path)
    for page in sorted(PAGES.glob("*.md"))
    for path in ENTRY.findall(page.read_text(encoding="utf-8"))
}
CODE = {name: value for name, value in DOCUMENTED.items() if callable(value)}


def test_every_public_name_is_on_a_page():
    values = {id(value) for value in DOCUMENTED.values()}
    missing = [name for name, value in PUBLIC.items() if id(value) not in values]
    assert not missing, f"docs/api/ lacks {', '.join(missing)}"
    assert len(CODE) > 100


def test_every_entry_is_on_one_page_only():
    entries = [
        entry for page in PAGES.glob("*.md") for entry in ENTRY.findall(page.read_text("utf-8"))
    ]
    assert sorted(entries) == sorted(set(entries))


@pytest.mark.parametrize("path", CODE)
def test_examples_are_true(path):
    value = CODE[path]
    if value.__doc__.startswith("Deprecated"):
        pytest.skip("deprecated: its new name has the example")
    place = ELSEWHERE.get(path.removeprefix("bayes_by_hypernet."))
    if place is not None:
        test, call = place
        assert call in (REPOSITORY / test).read_text(encoding="utf-8")
        return
    module = vars(sys.modules[value.__module__])
    names = {"bbh": bbh, "keras": keras, "np": np, "tf": tf}
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=False)
    [test] = finder.find(value, path, sys.modules[value.__module__], globs={**module, **names})
    assert test.examples, f"the docstring of {path} has no example"
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert not result.failed
