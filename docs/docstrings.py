"""How the API pages show docstrings: arguments and results of calls are free text, and no types."""

import re
import textwrap

import griffe

SECTION = re.compile(r"^(Call arguments|Returns):\n((?:    .*\n?|\n)+)", flags=re.MULTILINE)
ARGUMENT = re.compile(r"^([\w, ]+): ", flags=re.MULTILINE)


class FreeText(griffe.Extension):
    """Rewrites these sections in Markdown, before griffe looks for types in them."""

    def on_instance(self, *, obj, **kwargs):
        """Rewrites an object's docstring."""
        if obj.docstring:
            text = SECTION.sub(_as_markdown, obj.docstring.value)
            obj.docstring.value = text.replace("\nExample:\n", "\nExamples:\n")  # its name of them


def _as_markdown(match):
    title, text = match[1], textwrap.dedent(match[2]).strip()
    if title == "Call arguments":
        text = ARGUMENT.sub(r"**`\1`** – ", text)
    entries = re.split(r"\n(?=\S)", text) if title == "Call arguments" else [text]
    items = "".join("- " + textwrap.indent(entry, "    ").strip() + "\n" for entry in entries)
    return f"**{title}:**\n\n{items}\n"
