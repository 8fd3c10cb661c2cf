"""Runs as figures show them: labels, colours, lines, files that are there or not."""

import pytest
import run_folders

from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.figures import Run, make_runs


@pytest.fixture
def folders(tmp_path):
    names = {"a": "map", "b": "bbh_layerwise_independent", "c": "bbh_layerwise_shared"}
    for folder, name in names.items():
        run_folders.make(tmp_path / folder, name)
    return [tmp_path / folder for folder in names]


def test_runs_of_one_method_differ_in_label_and_line_and_not_in_colour(folders):
    runs = make_runs(folders)
    assert [run.label for run in runs] == ["MAP", "BbH (b)", "BbH (c)"]
    assert runs[0].line == runs[1].line != runs[2].line
    assert runs[1].colour == runs[2].colour == methods.get("bbh").colour != runs[0].colour


def test_labels_may_be_given(folders):
    assert [run.label for run in make_runs(folders, ["x", "y", "z"])] == ["x", "y", "z"]


def test_what_was_not_kept_is_none_or_empty(folders):
    run = Run(folders[0])
    assert run.curves and len(run.histories) == 1
    for path in folders[0].glob("*[!s].json*"):
        path.unlink()
    (folders[0] / "curves.json").unlink()
    bare = Run(folders[0])
    assert bare.results["method"] == "map"
    assert bare.curves is None and bare.histories == [] and bare.read("posterior.json") is None


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="results.json"):
        Run(tmp_path)
