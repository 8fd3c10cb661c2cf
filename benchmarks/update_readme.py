"""Makes the benchmarks' tables in this folder's README.md and in docs/ anew, from the JSON files.

The table of costs also takes the committed runs.

Run as `python benchmarks/update_readme.py`.
"""

import json
import pathlib

from bayes_by_hypernet.paper.tables import update_blocks
from bayes_by_hypernet.paper.tables.formats import format_markdown

FOLDER = pathlib.Path(__file__).parent
REPOSITORY = FOLDER.parent
IN_DOCS = ("choosing", "decisions", "estimators", "scaling", "workers")
PAGES = (FOLDER / "README.md", *(REPOSITORY / "docs" / f"{name}.md" for name in IN_DOCS))

# Of the table of costs: method, run in results/mnist/quick, row of train_step.json, case of
# predict.json.
COSTS = (
    ('`"map"`', "map", "MAP", "map"),
    ("ensemble of ten", "ensemble", "Ensemble", "ensemble"),
    ('`"dropout"`', "dropout", "Dropout", "dropout"),
    ('`"flipout"`', "bbb_analytic", "BbB, analytic KL", "bbb"),
    ('`"mnf"`', "mnf", "MNF", "mnf"),
    (
        '`"hypernet"`, shared noise',
        "bbh_layerwise_shared",
        "BbH, layer-wise, shared noise, d = 1",
        "bbh_layerwise",
    ),
    (
        '`"hypernet"`, independent noise',
        "bbh_layerwise_independent",
        "BbH, independent noise, d = 1",
        "bbh_layerwise",
    ),
    (
        '`"hypernet"`, `architecture="sliced"`',
        "bbh_sliced_shared",
        "BbH, sliced layer-wise G_l",
        "bbh_sliced",
    ),
)


def blocks():
    """Returns the text between the markers `benchmark-<file>` of every JSON file, by marker."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        contents = json.loads(path.read_text())
        about = f"{contents['hardware']}; TensorFlow {contents['versions']['tensorflow']}."
        tables = [
            f"{table['title']}. {about}\n\n{format_markdown(table['header'], table['rows'])}"
            for table in contents["tables"]
        ]
        found[f"benchmark-{path.stem}"] = "\n\n".join(tables)
    return {**found, "costs": costs()}


def costs():
    """Returns the table of what each method costs on LeNet, and what it gave on MNIST."""

    def first_table(name):
        [table, *_] = json.loads((FOLDER / f"{name}.json").read_text())["tables"]
        return {row[0]: dict(zip(table["header"], row, strict=True)) for row in table["rows"]}

    training, prediction = first_table("train_step"), first_table("predict")
    rows = []
    for method, run, step, case in COSTS:
        path = REPOSITORY / "results" / "mnist" / "quick" / run / "results.json"
        results = json.loads(path.read_text())
        ratio = float(training[step]["ms per step"]) / float(training["MAP"]["ms per step"])
        rows.append(
            [
                method,
                f"{results['num_parameters']:,}",
                f"{ratio:.1f}",
                prediction[case]["samples"],
                prediction[case]["ours [s]"],
                f"{results['error_percent']:.2f}",
                f"{results['nll']:.3f}",
                f"{results['ece']:.3f}",
                f"{results['outlier_auc']:.3f}",
            ]
        )
    header = ["`method`", "parameters", "step, ratio to MAP", "samples", "prediction [s]"]
    return format_markdown([*header, "error [%]", "NLL", "ECE", "outlier AUC"], rows)


def main():
    found = blocks()
    for page in PAGES:
        page.write_text(update_blocks(page.read_text(), found))


if __name__ == "__main__":
    main()
