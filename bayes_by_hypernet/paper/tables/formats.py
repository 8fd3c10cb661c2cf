"""Tables as plain text, Markdown and LaTeX, and marked blocks of a page."""

import html

DASH = "–"
_LATEX = {c: f"\\{c}" for c in "%&_#${}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    DASH: "--",
}


def format_table(header, rows) -> str:
    """Returns an aligned plain-text table; the first column is a label."""
    rows = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def format_markdown(header, rows, num_labels=1) -> str:
    """Returns the table in Markdown: columns of labels, then columns of numbers."""
    rule = ["---"] * num_labels + ["---:"] * (len(header) - num_labels)
    rows = [header, rule, *rows]
    return "\n".join("| " + " | ".join(map(markdown_escape, row)) + " |" for row in rows)


def markdown_escape(text) -> str:
    """Returns `text` so that it stays within one cell of a Markdown table and is no markup."""
    return html.escape(" ".join(str(text).splitlines()), quote=False).replace("|", r"\|")


def format_latex(header, rows) -> str:
    """Returns the table as a `tabular` that needs no package; the first column is a label."""
    lines = [" & ".join(map(latex_escape, row)) + r" \\" for row in [header, *rows]]
    columns = "l" + "r" * (len(header) - 1)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", lines[0], r"\hline", *lines[1:]]
    return "\n".join([*body, r"\hline", r"\end{tabular}"])


def latex_escape(text) -> str:
    """Returns `text` so that LaTeX prints it as it is."""
    return "".join(_LATEX.get(character, character) for character in str(text))


def _text_page(title, description, header, rows):
    return f"{title}\n{description}\n\n{format_table(header, rows)}"


def _markdown_page(title, description, header, rows):
    title, description = markdown_escape(title), markdown_escape(description)
    return f"### {title}\n\n{description}\n\n{format_markdown(header, rows)}"


def _latex_page(title, description, header, rows):
    caption = latex_escape(f"{title}. {description}")
    return "\n".join(
        [r"\begin{table}", rf"\caption{{{caption}}}", format_latex(header, rows), r"\end{table}"]
    )


# Name of a format to the function that makes a table with its title and description in it.
# CSV is not among them: there the numbers stand by themselves.
PAGES = {"text": _text_page, "markdown": _markdown_page, "latex": _latex_page}
FORMATS = (*PAGES, "csv")


def update_blocks(text: str, blocks: dict) -> str:
    """Returns `text` with the text between the markers of each block replaced.

    The markers are the HTML comments `<!-- NAME -->` and `<!-- /NAME -->`; blocks that the text
    does not mark are left out.

    Args:
        text: Of the page.
        blocks: Dict, name to what has to stand between its markers.

    Raises:
        ValueError: If the text marks none of the blocks, or one more than once or by halves.
    """
    marked = [name for name in blocks if f"<!-- {name} -->" in text]
    if not marked:
        markers = " or ".join(f"<!-- {name} -->" for name in blocks)
        raise ValueError(f"Argument `text` must hold {markers}.")
    for name in marked:
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"Argument `text` must hold {begin} and {end} once each.")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{blocks[name]}\n{end}{rest.split(end)[1]}"
    return text
