"""The floors of the package: a module imports only from lower ones, and only launchers read flags.

Within one package (`layers/`, say) modules may import each other; two modules of the same floor may
not. Imports inside functions and under TYPE_CHECKING count like all others. CONTRIBUTING.md shows
the same floors to people.
"""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "bayes_by_hypernet"

FLOORS = [
    {
        "cache",
        "compat",
        "environment",
        "files",
        "randomness",
        "perturbations",
        "checks",
    },
    {"priors", "metrics"},
    {
        "kernels",
        "hypernetworks",
        "data",
        "draws",
        "likelihoods",
        "inputs",
        "calibration",
        "decisions",
    },
    {"divergences", "noise"},
    {"posteriors", "training"},
    {"layers", "prediction"},
    {"models", "callbacks", "export", "attacks"},
    {"paper"},
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

# Beside the package, above all floors: it may import the package, the package may not import it.
ABOVE = {"launch", "benchmarks", "tests"}


def module_name(path):
    """`bayes_by_hypernet.layers` of `bayes_by_hypernet/layers/__init__.py`, and so on."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(source, module, is_package):
    """Every name that the source imports, absolute, with its line.

    `from a import b` counts as `a.b`, since b may be a module. `import_module("a.b")` counts where
    the name is written out.
    """
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            first = node.args[0] if node.args else None
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                name = str(first.value)
                yield node.lineno, f"{package}{name}" if name.startswith(".") else name


def floor_errors(source, module, is_package=False):
    """What the module's imports break, as sentences; an empty list if nothing."""
    own = module.split(".")[1] if "." in module else None  # None: the package's own __init__
    if own is not None and own not in FLOOR_OF:
        return [unknown(own)]
    errors = []
    for line, name in imported_names(source, module, is_package):
        parts = name.split(".")
        if parts[0] in ABOVE:
            errors.append(f"line {line}: imports {name}, which stands above the package")
        if parts[0] != PACKAGE or own is None:
            continue
        target = parts[1] if len(parts) > 1 else "*"
        if target in FLOOR_OF:
            if target != own and FLOOR_OF[target] >= FLOOR_OF[own]:
                errors.append(
                    f"line {line}: {own} (floor {FLOOR_OF[own]}) imports {target} (floor "
                    f"{FLOOR_OF[target]}); only lower floors are allowed"
                )
        elif (REPOSITORY / PACKAGE / target).is_dir() or (
            REPOSITORY / PACKAGE / f"{target}.py"
        ).is_file():
            errors.append(f"line {line}: {unknown(target)}")
        else:
            errors.append(
                f"line {line}: imports {name} from the package's __init__, which imports from "
                f"every floor; import it from the module that defines it"
            )
    return errors


def unknown(name):
    return (
        f"`{name}` stands on no floor: add it to FLOORS in tests/test_floors.py and to the table "
        f"in CONTRIBUTING.md"
    )


def python_files(*folders):
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def relative(path):
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=relative)
def test_imports_come_from_lower_floors(path):
    errors = floor_errors(path.read_text(), module_name(path), path.name == "__init__.py")
    assert not errors, "\n".join([relative(path), *errors])


@pytest.mark.parametrize(
    "path", python_files(PACKAGE, "benchmarks") + sorted(REPOSITORY.glob("*.py")), ids=relative
)
def test_only_launchers_read_flags(path):
    is_package = path.name == "__init__.py"
    lines = [
        line
        for line, name in imported_names(path.read_text(), module_name(path), is_package)
        if f"{name}.".startswith("absl.flags.")
    ]
    assert not lines, (
        f"{relative(path)} imports absl.flags in line {lines}; only launch/ reads flags: pass the "
        f"value as an argument"
    )


def test_the_package_has_modules():
    assert python_files(PACKAGE), f"no module found under {PACKAGE}/"


def test_contributing_shows_the_same_floors():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", text, flags=re.MULTILINE)
    shown = {int(floor): set(re.findall(r"`(\w+)/?`", names)) for floor, names in rows}
    launchers = {len(FLOORS): {"launch"}}
    assert shown == {**dict(enumerate(FLOORS)), **launchers}


class TestTheCheckItself:
    """Without these a parser that finds nothing would pass everything."""

    @pytest.mark.parametrize(
        "source",
        [
            "import bayes_by_hypernet.paper.methods",
            "from bayes_by_hypernet import paper",
            "from bayes_by_hypernet.paper.methods import get",
            "from .. import paper",
            "from ..paper import get",
            "def call(self):\n    from bayes_by_hypernet.paper.methods import get",
            "if TYPE_CHECKING:\n    from ..paper import Method",
            "import importlib\nimportlib.import_module('bayes_by_hypernet.paper.methods')",
        ],
    )
    def test_finds_an_import_from_a_higher_floor(self, source):
        [error] = floor_errors(source, "bayes_by_hypernet.layers.hypernet")
        assert "layers (floor 5) imports paper (floor 7)" in error

    def test_finds_an_import_from_the_same_floor(self):
        [error] = floor_errors("from . import data", "bayes_by_hypernet.kernels")
        assert "only lower floors" in error

    def test_a_package_resolves_dots_from_itself(self):
        module = "bayes_by_hypernet.layers"
        assert not floor_errors("from . import flipout", module, is_package=True)
        assert floor_errors("from .. import paper", module, is_package=True)

    @pytest.mark.parametrize(
        "source",
        [
            "import keras",
            "import numpy as np",
            "from . import flipout",
            "from bayes_by_hypernet.layers import flipout",
            "from ..noise import AuxiliaryNoise",
            "from bayes_by_hypernet import hypernetworks",
        ],
    )
    def test_allows_lower_floors_its_own_package_and_others(self, source):
        assert not floor_errors(source, "bayes_by_hypernet.layers.hypernet")

    @pytest.mark.parametrize(
        "source", ["import bayes_by_hypernet as bbh", "from bayes_by_hypernet import kernel_kl"]
    )
    def test_refuses_the_packages_own_names(self, source):
        [error] = floor_errors(source, "bayes_by_hypernet.paper.experiment")
        assert "from the module that defines it" in error

    def test_refuses_launchers(self):
        [error] = floor_errors("from launch import mnist", "bayes_by_hypernet.paper.experiment")
        assert "above the package" in error

    def test_names_a_module_that_stands_nowhere(self):
        [error] = floor_errors("", "bayes_by_hypernet.utilities")
        assert "add it to FLOORS" in error

    def test_the_packages_init_may_import_everything(self):
        assert not floor_errors("from . import paper", "bayes_by_hypernet", is_package=True)
