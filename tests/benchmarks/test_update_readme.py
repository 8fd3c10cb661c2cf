"""The pages show the tables of the benchmarks' JSON files, as they are."""

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


def test_pages_show_the_committed_numbers():
    script = load_script()
    blocks = script.blocks()
    names = [
        "decisions",
        "estimators",
        "kernel_kl",
        "predict",
        "scaling",
        "scaling_model",
        "train_step",
    ]
    names += ["train_step_resnet32", "workers_trials"]
    assert {*blocks} == {"costs", *(f"benchmark-{name}" for name in names)}
    texts = [page.read_text() for page in script.PAGES]
    for text in texts:
        assert update_blocks(text, blocks) == text, "run python benchmarks/update_readme.py"
    for block in blocks:  # on one page each
        assert sum(f"<!-- {block} -->" in text for text in texts) == 1, block
