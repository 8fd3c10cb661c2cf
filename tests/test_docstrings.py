"""The examples in the docstrings of measures, calibration and decisions are true."""

import doctest
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest
from test_floors import imported_names

PACKAGES = ["metrics", "decisions"]
MODULES = ["bayes_by_hypernet.calibration"] + [
    f"bayes_by_hypernet.{package}.{module.name}"
    for package in PACKAGES
    for module in pkgutil.iter_modules(
        importlib.import_module(f"bayes_by_hypernet.{package}").__path__
    )
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert not result.failed


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = map(importlib.import_module, MODULES)
    assert sum(bool(t.examples) for module in modules for t in finder.find(module)) > 20


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_are_documented_where_they_are_found(package):
    module = importlib.import_module(f"bayes_by_hypernet.{package}")
    assert list(module.__all__) == sorted(module.__all__, key=lambda n: (not n.isupper(), n))
    for name in module.__all__:
        assert getattr(module, name).__doc__


@pytest.mark.parametrize("name", MODULES)
def test_no_framework_is_imported(name):
    """They take the predictions of any model, whatever made them."""
    source = Path(importlib.import_module(name).__file__).read_text()
    tops = {imported.split(".")[0] for _, imported in imported_names(source, name, False)}
    assert tops <= {*sys.stdlib_module_names, "bayes_by_hypernet", "numpy", "scipy", "sklearn"}
