"""What the build of the site does besides MkDocs: mathematics, and the figures of results/."""

import html
import re
from pathlib import Path

import ziamath
from mkdocs.structure.files import File

ziamath.config.svg2 = False  # glyphs as paths: symbols would need ids that pages share
REPOSITORY = Path(__file__).resolve().parents[1]
# Links that lead out of docs/, one level too far up for the site.
FIGURES = re.compile(r"\]\(\.\./((?:\.\./)*results/)")
# Links of words to files of the repository, which the site does not have.
FILES = re.compile(
    r"(?<!!)\[([^\]]+)\]\((?:\.\./)+(?:benchmarks|bayes_by_hypernet|flags|launch|results)/[^)]*\)"
)
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
    """Makes what is right in the repository right in the site: figures; other files are named."""
    return FIGURES.sub(r"](\1", FILES.sub(r"\1", markdown))


def on_page_content(content, page, config, files):
    """Draws mathematics as SVG, which browsers show without scripts, fonts and their own MathML."""
    return MATHEMATICS.sub(_drawn, content)


def _drawn(match):
    tag, bracket, latex = match.groups()
    latex, inline = html.unescape(latex), bracket == "("
    formula = ziamath.Latex(latex, size=17, color="currentColor", inline=inline)
    attributes = f'role="img" aria-label="{html.escape(latex)}"'
    if inline:
        attributes += f' style="vertical-align: {formula.getyofst():.2f}px"'
    svg = formula.svg().replace("<svg ", f"<svg {attributes} ", 1)
    return f'<{tag} class="math">{svg}</{tag}>'
