"""Counts the parameters of hypernetworks for networks of four sizes; makes none of them.

python benchmarks/parameters.py            prints the table of docs/bayesify.md
python benchmarks/parameters.py --update   writes it there, and docs/parameters.json
"""

import argparse
import json
import math
import pathlib

import keras

from bayes_by_hypernet.paper.networks import lenet, resnet32
from bayes_by_hypernet.posteriors.hypernet import count_parameters
from bayes_by_hypernet.posteriors.selection import select

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent / "docs" / "bayesify.md"
MARKS = ("<!-- parameters -->\n", "<!-- /parameters -->\n")
ARCHITECTURES = {
    "layer-wise": {"architecture": "layerwise"},
    "sliced": {"architecture": "sliced"},
    "single": {"architecture": "single"},
    "chunked": {"architecture": "chunked"},
    "chunked, `chunk_size=16384`": {"architecture": "chunked", "chunk_size": 16384},
}


def _application(name):
    make = getattr(keras.applications, name)
    return lambda: make(weights=None, input_shape=(224, 224, 3), classes=1000)


NETWORKS = {
    "LeNet": lenet,
    "ResNet-32": resnet32,
    "MobileNetV3-small": _application("MobileNetV3Small"),
    "ResNet-50": _application("ResNet50"),
}


def count(model):
    """Returns a dict: the weights that get a posterior, and the parameters by architecture."""
    shapes = [tuple(variable.shape) for variable in select(model).values()]
    counts = {"weights": sum(map(math.prod, shapes))}
    for name, settings in ARCHITECTURES.items():
        counts[name] = sum(count_parameters(shapes, **settings))
    return counts


def table(counts):
    """Returns the Markdown table of a dict, network to its counts."""
    head = ["network", "weights", *ARCHITECTURES]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [[name, *(f"{n:,}" for n in row.values())] for name, row in counts.items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write page and JSON file")
    arguments = parser.parse_args()
    counts = {name: count(make()) for name, make in NETWORKS.items()}
    text = table(counts)
    print(text)
    if arguments.update:
        PAGE.with_name("parameters.json").write_text(json.dumps(counts, indent=2) + "\n")
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}{text}{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
