"""The site builds without a warning, shows every figure, and requests nothing from other hosts."""

import html.parser
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BUILDERS = ("mkdocs", "material", "mkdocstrings", "mike", "ziamath")
MISSING = [name for name in BUILDERS if importlib.util.find_spec(name) is None]

# Attributes whose addresses a browser loads. Of links only these kinds.
LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
}
NOT_LOADED = ("canonical", "next", "prev", "alternate", "me")
OTHER_HOST = re.compile(r"^\s*(?:[a-z]+:)?//", flags=re.IGNORECASE)
IN_STYLES = re.compile(
    r"(?:url\(|@import)\s*['\"]?\s*((?:[a-z]+:)?//[^'\")\s]+)", flags=re.IGNORECASE
)


class References(html.parser.HTMLParser):
    """Collects the addresses on other hosts that a page loads."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and set(values.get("rel", "").split()) & set(NOT_LOADED):
            return
        addresses = [values[name] for name in LOADED.get(tag, ()) if name in values]
        self.found += [address for address in addresses if OTHER_HOST.match(address)]
        self.found += IN_STYLES.findall(values.get("style", ""))

    handle_startendtag = handle_starttag


def references(page):
    parser = References()
    parser.feed(page)
    styles = re.findall(r"<style[^>]*>(.*?)</style>", page, flags=re.DOTALL)
    return parser.found + [address for style in styles for address in IN_STYLES.findall(style)]


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="http://example.com/x.png"/>',
        "<style>@import 'https://fonts.example/css';</style>",
        '<p style="background: url(https://example.com/x.png)">',
    ],
)
def test_references_to_other_hosts_are_found(page):
    assert references(page)


def test_own_files_and_links_for_readers_are_no_such_references():
    page = '<script src="../x.js"></script><a href="https://arxiv.org">x</a><img src="data:,x">'
    assert not references(page + '<link rel="canonical" href="https://example.com/">')


def test_the_gallery_shows_every_figure():
    text = (REPOSITORY / "docs" / "gallery" / "index.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\(\.\./\.\./(results/\S+\.png)\)", text))
    there = {p.relative_to(REPOSITORY).as_posix() for p in (REPOSITORY / "results").rglob("*.png")}
    assert shown == there


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not done.returncode, done.stdout[-4000:]
    return folder


@pytest.mark.slow
class TestTheBuiltSite:
    def test_loads_nothing_from_other_hosts(self, site):
        pages = sorted(site.rglob("*.html"))
        assert len(pages) > 15
        for page in pages:
            assert not references(page.read_text(encoding="utf-8")), page
        for sheet in site.rglob("*.css"):
            assert not IN_STYLES.findall(sheet.read_text(encoding="utf-8")), sheet

    def test_mathematics_is_drawn(self, site):
        page = (site / "equations" / "index.html").read_text(encoding="utf-8")
        assert page.count('<svg role="img" aria-label=') > 10
        assert "arithmatex" not in page
        for path in site.rglob("*.html"):
            heights = re.findall(r'<svg role="img"[^>]* height="([\d.]+)"', path.read_text("utf-8"))
            assert all(float(height) < 120 for height in heights), path  # brackets grow to it

    def test_examples_of_docstrings_are_code(self, site):
        for page in (site / "api").rglob("*.html"):
            text = re.sub(r"<pre.*?</pre>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
            assert "&gt;&gt;&gt;" not in text, page
