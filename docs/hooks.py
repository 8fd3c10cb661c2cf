"""What the build of the site does besides MkDocs: mathematics, and the figures of results/."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parents[1]
# Links that lead out of docs/, one level too far up for the site.
FIGURES = re.compile(r"\]\(\.\./((?:\.\./)*results/)")
# What pymdownx.arithmatex makes of $...$ and $$...$$.
MATHEMATICS = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', flags=re.DOTALL
)


def on_files(files, config):
    """Adds the figures that are committed in results/, so that pages show them by that path."""
    for path in sorted((REPOSITORY / "results").rglob("*.png")):
        name = path.relative_to(REPOSITORY).as_posix()
        files.append(File(name, str(REPOSITORY), config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown, page, config, files):
    """Makes links to figures, which are right in the repository, right in the site."""
    return FIGURES.sub(r"](\1", markdown)


def on_page_content(content, page, config, files):
    """Renders mathematics as MathML, which browsers show without scripts and fonts."""
    return MATHEMATICS.sub(_mathml, content)


def _mathml(match):
    tag, bracket, latex = match.groups()
    display = "inline" if bracket == "(" else "block"
    return f'<{tag} class="math">{convert(html.unescape(latex), display=display)}</{tag}>'
