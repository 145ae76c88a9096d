"""Markdown tables from values that may hold anything."""

import html
import re
from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """A value as the text of one Markdown table cell: one line, no markup of its own."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table of cells that are already escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
