"""What `import bayes_by_hypernet` loads, offers and refuses."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import bayes_by_hypernet as bbh

REPOSITORY = Path(__file__).resolve().parents[1]

# Keras itself imports some of these where it finds them; afterwards they are made impossible.
BLOCK = """
import sys
import keras
for blocked in {blocked!r}:
    for name in list(sys.modules):
        if name.split(".")[0] == blocked:
            del sys.modules[name]
    sys.modules[blocked] = None
"""


def run_python(code, **environment):
    """Runs Python code in a new process and returns what came of it."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


class TestNames:
    def test_all_are_attributes_and_listed(self):
        assert set(bbh.__all__) <= set(dir(bbh))
        for name in bbh.__all__:
            assert getattr(bbh, name) is not None

    def test_star_import_gives_all(self):
        names = {}
        exec("from bayes_by_hypernet import *", names)
        assert set(bbh.__all__) <= set(names)

    def test_the_function_export_outlives_its_module(self):
        module = importlib.import_module("bayes_by_hypernet.export")
        assert bbh.export is module.export

    def test_are_what_their_modules_define(self):
        from bayes_by_hypernet.paper import posterior
        from bayes_by_hypernet.training import FusedAdam

        assert bbh.load is posterior.load and bbh.Posterior is posterior.Posterior
        assert bbh.FusedAdam is FusedAdam
        assert bbh.metrics is sys.modules["bayes_by_hypernet.metrics"]

    def test_unknown_names_raise(self):
        with pytest.raises(AttributeError, match="'bayes_by_hypernet' has no attribute 'prediktt'"):
            bbh.prediktt  # noqa: B018

    def test_editors_see_the_names_that_are_imported_late(self):
        tree = ast.parse(Path(bbh.__file__).read_text(encoding="utf-8"))
        [block] = [n for n in tree.body if isinstance(n, ast.If) and "TYPE_CH" in ast.dump(n.test)]
        seen = {}
        for statement in block.body:
            for alias in statement.names:
                is_module = statement.module == "bayes_by_hypernet"
                module = f"{statement.module}.{alias.name}" if is_module else statement.module
                seen[alias.name] = (module, None if is_module else alias.name)
        assert seen == bbh._LAZY
        assert set(seen) <= set(bbh.__all__)


class TestImport:
    def test_needs_neither_figures_nor_scores_nor_data_sets(self):
        blocked = ["matplotlib", "sklearn", "tensorflow_datasets"]
        done = run_python(BLOCK.format(blocked=blocked) + "import bayes_by_hypernet")
        assert done.returncode == 0, done.stderr

    def test_needs_no_tensorflow_probability(self):
        blocked = ["tensorflow_probability", "tf_keras"]
        done = run_python(BLOCK.format(blocked=blocked) + "import bayes_by_hypernet")
        assert done.returncode == 0, done.stderr

    def test_leaves_launchers_and_attacks_for_later(self):
        code = "import sys, bayes_by_hypernet; print(*sys.modules)"
        loaded = set(run_python(code).stdout.split())
        assert "bayes_by_hypernet.layers" in loaded
        for name in ("attacks", "decisions", "paper"):
            assert f"bayes_by_hypernet.{name}" not in loaded

    def test_keras_finds_the_classes_of_a_saved_model(self, tmp_path):
        inputs = keras.Input((3,))
        hidden = bbh.layers.DenseHypernet(4, num_train_examples=10)(inputs)
        model = keras.Model(inputs, bbh.layers.DenseMNF(1, num_train_examples=10)(hidden))
        model.compile(bbh.FusedAdam(0.01), "mse")
        model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)
        model.save(tmp_path / "model.keras")
        done = run_python(
            "import bayes_by_hypernet, keras\n"
            f"model = keras.saving.load_model({str(tmp_path / 'model.keras')!r})\n"
            "print([type(l).__name__ for l in model.layers], type(model.optimizer).__name__)"
        )
        assert done.stdout.split() == [
            "['InputLayer',",
            "'DenseHypernet',",
            "'DenseMNF']",
            "FusedAdam",
        ], done.stderr

    @pytest.mark.parametrize("backend", ["jax", "torch"])
    def test_another_backend_is_refused_with_the_way_out(self, backend):
        if importlib.util.find_spec(backend):
            done = run_python("import bayes_by_hypernet", KERAS_BACKEND=backend)
        else:
            pretend = f"import keras; keras.backend.backend = lambda: {backend!r}; "
            done = run_python(pretend + "import bayes_by_hypernet")
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1] == (
            "RuntimeError: Bayes by Hypernet needs Keras's backend 'tensorflow', and the backend "
            f"is {backend!r}: set the environment variable KERAS_BACKEND=tensorflow before Python "
            "imports keras."
        )
