"""README shows the tables of the benchmarks' JSON files, as they are."""

import importlib.util
from pathlib import Path

from bayes_by_hypernet.paper.tables import update_blocks

REPOSITORY = Path(__file__).resolve().parents[2]


def load_script():
    path = REPOSITORY / "benchmarks" / "update_readme.py"
    spec = importlib.util.spec_from_file_location("update_readme", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_shows_the_committed_numbers():
    blocks = load_script().blocks()
    readme = (REPOSITORY / "README.md").read_text()
    names = ("kernel_kl", "predict", "scaling", "train_step", "train_step_resnet32")
    assert {*blocks} == {f"benchmark-{name}" for name in names}
    assert update_blocks(readme, blocks) == readme, "run python benchmarks/update_readme.py"
