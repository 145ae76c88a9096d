"""What a decision means, in sentences: every report of the gate says the same."""

from collections.abc import Iterable

from lib.plots.gate import digits
from lib.statistics.noninferiority import FAIL, OPEN, PASS
from tools.gate.record import Line, Record

SIGNS = {PASS: "\N{CHECK MARK}", FAIL: "\N{BALLOT X}", OPEN: "?"}
"""A verdict for whoever sees no colours."""
SHORT = {PASS: "pass", FAIL: "fail", OPEN: "open"}
"""A verdict where there is no room."""
NEXT = {
    PASS: "Release it under this budget, and keep gate.json beside the weights.",
    FAIL: "Do not release it. Tune in another way, or allow more for a reason that the budget "
          "states, and run the gate again.",
    OPEN: "Do not release it yet, and do not call it harmful: measure more, as is said below for "
          "each open line, and run the gate again.",
}


def number(value: float | None, sign: str = "") -> str:
    """A number of the record as text."""
    return "\N{EN DASH}" if value is None else digits(value, sign)


def p_value(value: float | None) -> str:
    """A p-value as text."""
    return "<0.001" if value is not None and value < 0.001 else number(value)


def harm(line: Line) -> str:
    """A harm with its one-sided limits."""
    value, low, high = (number(end, "+") for end in (line.harm, line.low, line.high))
    return f"{value} [{low}, {high}]"


def items(line: Line) -> str:
    """Items that an open line needs; nothing where a line is decided, or by items alone."""
    if line.verdict != OPEN:
        return ""
    if line.needed is None:
        return "no number"
    return "seeds" if _enough(line) and line.seeds > 1 else f"{line.needed:,}"


def headline(record: Record) -> str:
    """The verdict in one plain sentence."""
    found = {verdict: [line for line in record.lines if line.verdict == verdict]
             for verdict in SIGNS}
    total = len(record.lines)
    if record.verdict == PASS:
        return f"Pass: all {total} lines that were asked are shown to stay within what is allowed."
    if record.verdict == FAIL:
        return (f"Fail: {len(found[FAIL])} of {total} lines are shown to lose more than is "
                f"allowed: {_named(found[FAIL])}.")
    parts = [f"{len(found[OPEN])} of {total} lines are neither shown to stay within what is "
             f"allowed nor to exceed it: {_named(found[OPEN])}"] if found[OPEN] else []
    if record.missing:
        parts.append(f"nothing was measured on {', '.join(record.missing)}")
    return f"Not enough evidence: {'; '.join(parts)}."


def about(record: Record) -> str:
    """What the decision is about: this model, or the recipe of several."""
    if len(record.tuned) == 1:
        return (f"This is about this model, {record.tuned[0].name}: another training run of the "
                "same recipe may turn out otherwise.")
    return (f"This is about the recipe, by {len(record.tuned)} training seeds of it: how they "
            "differ is part of the error, and the harm is their mean. It clears no single one.")


def open_lines(record: Record) -> list[tuple[str, str]]:
    """What would decide each open line and each axis that is missing."""
    told = [(line.metric, _would_decide(line)) for line in record.lines if line.verdict == OPEN]
    return told + [(axis, f"Nothing was measured: {why}") for axis, why in record.missing.items()]


def remarks(record: Record) -> list[str]:
    """Notes of the run, and one of a quick look."""
    quick = ["A quick look: fewer items were asked than usual, so more lines stay open."]
    return [*(quick if record.quick else []), *record.notes]


def run(record: Record) -> list[tuple[str, str]]:
    """What the decision was made with and on, as names and texts."""
    machine = {name: value for name, value in record.hardware.items() if name != "arithmetic"}
    return [
        ("Level of the tests (alpha)", f"{record.alpha:g}"),
        ("Power, for needed items", f"{record.power:g}"),
        ("Quick look", "yes" if record.quick else "no"),
        ("Commit of the workbook", record.commit or "unknown"),
        ("Minutes", f"{record.seconds / 60:.1f}"),
        ("Machine", ", ".join(f"{name.replace('_', ' ')} {value or 'none'}"
                              for name, value in machine.items())),
        ("Versions", ", ".join(f"{name} {version or 'not installed'}"
                               for name, version in record.versions.items())),
    ]


def _named(lines: Iterable[Line]) -> str:
    return ", ".join(line.metric for line in lines)


def _would_decide(line: Line) -> str:
    if line.needed is None:
        return _no_number(line)
    if not _enough(line):
        return (f"About {line.needed:,} items like these instead of {line.n:,}, if the harm is "
                f"as seen ({number(line.harm, '+')}).")
    if line.seeds > 1:
        return (f"More training seeds: {line.seeds} tell too little of how much seeds differ; "
                "the items would do.")
    return (f"Other items: {line.n:,} decide a harm as seen more often than not, and these did "
            "not.")


def _enough(line: Line) -> bool:
    """Whether there are as many items already as a line is said to need."""
    return line.needed is not None and line.needed <= line.n


def _no_number(line: Line) -> str:
    """Why more items would not do, and what might."""
    ways = ["another limit, if the harm is just what is allowed"]
    if line.judge:
        ways.insert(0, "a larger audit of the judge")
    if line.seeds > 1:
        ways.insert(0, "more training seeds, which differ too much")
    return f"No number of items. What might: {'; or '.join(ways)}."
