"""Makes the benchmarks' tables in README.md anew, from the JSON files in this folder.

    python benchmarks/update_readme.py
"""

import json
import pathlib

from bayes_by_hypernet.tables import update_blocks
from bayes_by_hypernet.tables.formats import format_markdown

FOLDER = pathlib.Path(__file__).parent
README = FOLDER.parent / "README.md"


def blocks():
    """Returns the text between the markers `benchmark-<file>` of every JSON file, by marker."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        contents = json.loads(path.read_text())
        about = f"{contents['title']}. {contents['hardware']}; "
        about += f"TensorFlow {contents['versions']['tensorflow']}."
        table = format_markdown(contents["header"], contents["rows"])
        found[f"benchmark-{path.stem}"] = f"{about}\n\n{table}"
    return found


def main():
    README.write_text(update_blocks(README.read_text(), blocks()))


if __name__ == "__main__":
    main()
