"""Makes the benchmarks' tables in README.md and docs/ anew, from the JSON files in this folder.

Run as `python benchmarks/update_readme.py`.
"""

import json
import pathlib

from bayes_by_hypernet.paper.tables import update_blocks
from bayes_by_hypernet.paper.tables.formats import format_markdown

FOLDER = pathlib.Path(__file__).parent
README = FOLDER.parent / "README.md"
PAGES = (README, *(FOLDER.parent / "docs" / f"{name}.md" for name in ("decisions", "estimators")))


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
    return found


def main():
    found = blocks()
    for page in PAGES:
        page.write_text(update_blocks(page.read_text(), found))


if __name__ == "__main__":
    main()
