"""A decision for whoever waits at a terminal: a table of 100 columns, then what it means."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from lib.statistics.noninferiority import OPEN
from tools.gate.record import Line, record
from tools.gate.result import Result
from tools.gate.words import (
    NEXT,
    SHORT,
    SIGNS,
    about,
    harm,
    headline,
    items,
    number,
    open_lines,
    remarks,
)

COLUMNS = 100
LAYOUT = "{:<24}  {:<16}  {:<29} {:>7}  {:<6}  {:>9}"


def terminal(result: Result, written: Sequence[Path] = ()) -> str:
    """The table, the verdict, what to do next, and what was written."""
    found = record(result)
    lines = [LAYOUT.format("line", "before → after", "harm [low, high]", "allowed", "", "needed"),
             *map(_row, found.lines), ""]
    lines += _wrapped(f"{SIGNS[found.verdict]} {headline(found)}", about(found),
                      NEXT[found.verdict])
    for name, told in open_lines(found):
        lines += _wrapped(f"- {name}: {told}")
    lines += _wrapped(*(f"Note: {note}" for note in remarks(found)))
    if any(line.verdict == OPEN for line in found.lines):
        lines += _wrapped("open: not enough evidence; needed: items that decide a harm as seen "
                          f"with a chance of {found.power:g}.")
    if written:
        lines += [f"Written to {written[0].parent}:",
                  *_wrapped("  " + ", ".join(path.name for path in written))]
    return "\n".join(lines)


def _row(line: Line) -> str:
    levels = f"{number(line.before)} → {number(line.after)}"
    verdict = f"{SIGNS[line.verdict]} {SHORT[line.verdict]}"
    return LAYOUT.format(line.metric, levels, harm(line), number(line.allowed), verdict,
                         items(line)).rstrip()


def _wrapped(*texts: str) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, COLUMNS, subsequent_indent="  ")]
