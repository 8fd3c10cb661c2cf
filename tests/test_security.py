"""What SECURITY.md promises of the code: nothing is unpickled, evaluated or given to a shell."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for folder in ("bayes_by_hypernet", "launch", "benchmarks")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
MODULES |= {"runpy", "code", "imp"}
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "unsafe_load", "mktemp"}
CALLS |= {"enable_unsafe_deserialization", "extractall", "extract", "unpack_archive"}
# What may be called if it is not `tf.compile` or the like: methods of models and of `re`.
METHODS = {"compile"}


def faults(source):
    """Returns what a source does that SECURITY.md says it does not, as sentences."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names]
            found += [f"line {node.lineno}: {n}" for n in names if n.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        is_method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if is_method else getattr(node.func, "id", "")
        given = {word.arg: word.value for word in node.keywords}
        if name in CALLS and not (is_method and name in METHODS):
            found.append(f"line {node.lineno}: {name}()")
        for argument, forbidden in (("shell", True), ("allow_pickle", True), ("safe_mode", False)):
            if argument in given and getattr(given[argument], "value", forbidden) == forbidden:
                found.append(f"line {node.lineno}: {argument}={forbidden}")
        of_numpy = is_method and getattr(node.func.value, "id", "") in ("np", "numpy")
        if of_numpy and name == "load" and "allow_pickle" not in given:
            found.append(f"line {node.lineno}: np.load without allow_pickle=False")
        if name == "load_model" and is_method and "safe_mode" not in given:
            found.append(f"line {node.lineno}: load_model without safe_mode=True")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path):
    assert not faults(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "eval('1')",
        "exec(text)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "archive.extractall(folder)",
        "tempfile.mktemp()",
    ],
)
def test_the_search_finds(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source", ["model.compile(loss='mse')", "np.load(path, allow_pickle=False)", "json.loads(text)"]
)
def test_the_search_allows(source):
    assert not faults(source)
