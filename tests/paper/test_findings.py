"""Tables of attacks, posteriors and the toy regression say what was recorded."""

import json
import re

import pytest
import run_folders

from bayes_by_hypernet.paper import tables
from bayes_by_hypernet.paper.tables.findings import attacks_markdown, posterior_markdown

EPSILONS = [0.0, 0.05, 0.1]


def _attack(folder, name="adversarial_fast_sign_examples", **settings):
    """Records an attack of the run in a folder."""
    points = [{"epsilon": e, "accuracy": 1 - 4 * e, "relative_entropy": 2 * e} for e in EPSILONS]
    record = {"attack": "fast_sign", "average": "examples", "num_images": 1000, "num_samples": 100}
    record |= {"epsilons": EPSILONS, "points": points, **settings}
    record["run"] = json.loads((folder / "results.json").read_text())
    (folder / f"{name}.json").write_text(json.dumps(record))


@pytest.fixture
def found(tmp_path):
    for name in ("map", "ensemble"):
        run_folders.make(tmp_path / name, name)
    return tables.find_runs(tmp_path)


def test_attacks_of_other_settings_stand_apart(found, tmp_path):
    _attack(tmp_path / "map")
    _attack(tmp_path / "ensemble")
    _attack(tmp_path / "ensemble", "adversarial_fast_sign_gradients", average="gradients")
    assert [
        (a.title, [folder.name for folder in a.records]) for a in tables.find_attacks(found)
    ] == [
        ("Fast sign method, average of examples", ["map", "ensemble"]),  # the order of the paper
        ("Fast sign method, average of gradients", ["ensemble"]),
    ]
    _attack(tmp_path / "map", num_images=10)
    assert [len(a.records) for a in tables.find_attacks(found)] == [1, 1, 1]


def test_attacks_stand_in_the_order_of_the_papers_figures(tmp_path):
    run_folders.make(tmp_path / "a", "../../cifar5/quick/map")
    run_folders.make(tmp_path / "b", "map")
    _attack(tmp_path / "a")
    _attack(tmp_path / "b")
    found = tables.find_runs(tmp_path)
    assert [attacked.dataset for attacked in tables.find_attacks(found)] == ["mnist", "cifar5"]


def test_attack_table_shows_round_epsilons_or_else_all(found, tmp_path):
    _attack(tmp_path / "map")
    [attacked] = tables.find_attacks(found)
    header, rows = tables.attack_table(["MAP"], list(attacked.records.values()))
    assert header == [
        "Run",
        "accuracy, epsilon 0",
        "accuracy, epsilon 0.1",
        "entropy, epsilon 0",
        "entropy, epsilon 0.1",
    ]
    assert rows == [["MAP", "1.000", "0.600", "0.000", "0.200"]]
    [record] = attacked.records.values()
    odd = {**record, "epsilons": EPSILONS[1:2]}
    assert tables.attack_table(["MAP"], [odd])[1] == [["MAP", "0.800", "0.100"]]


def test_pages_name_runs_and_conditions(found, tmp_path):
    _attack(tmp_path / "map")
    page = attacks_markdown(found)
    about = "mnist, quick protocol. Fast sign method, average of examples: 1,000 images, 100 "
    assert page.startswith(about) and "| MAP | 1.000 | 0.600 | 0.000 | 0.200 |" in page
    source = run_folders.COMMITTED / "mnf" / "posterior.json"
    (tmp_path / "map" / "posterior.json").write_text(source.read_text())
    page = posterior_markdown(found)
    assert page.count("\n") == 2 and "| MAP | 500 | " in page and " | 24.0% | 0.0% | " in page
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in page.splitlines()}
    assert cells == {8} and r"| Mean \|r\| |" in page  # unescaped bars would be cells of their own


def test_a_number_that_a_posterior_cannot_have_is_a_dash():
    names = ("num_varying_weights", "median_stddev", "non_normal_share", "multi_modal_share")
    names += ("mean_absolute_correlation", "independent_absolute_correlation")
    summary = {**dict.fromkeys(names), "num_varying_weights": 0}
    [row] = tables.posterior_table([("MAP", summary)])[1]
    assert row == ["MAP", "0", *5 * [tables.DASH]]


def test_a_run_is_called_as_its_row_unless_it_deviates(found, tmp_path):
    results = found[tmp_path / "map" / "results.json"]
    assert tables.label_of(results, "runs/a") == "MAP"
    assert tables.label_of({**results, "batch_size": 7}, "runs/a") == "a"
    assert tables.label_of({**results, "method": "bbb", "kl_estimator": "x"}, "runs/b") == "b"
