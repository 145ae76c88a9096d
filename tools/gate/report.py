"""Files of a decision: for programs, for people, for a model card, and for other tools."""

import html
import io
import json
import re
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt

from lib.plots.gate import margins
from lib.plots.style import use_style
from lib.study.disk import write_text
from tools.gate import markdown, words
from tools.gate.record import Record, record
from tools.gate.result import Result
from tools.gate.samples import samples

HERE = Path(__file__).resolve().parent
CARD = "card.html.j2"
WRITTEN = ("card.html", "gate.json", "gate.schema.json", "records.jsonl", "model_card.md",
           "model_card_metadata.yml")
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"""Of an SVG: it would name other sites, and the hour."""


def write(result: Result, out: Path) -> list[Path]:
    """All files, into a folder; none of them holds a request, an answer or a path.

    Parameters
    ----------
    result : Result
    out : Path

    Returns
    -------
    list of Path
        ``card.html`` first, which is for people.
    """
    found = record(result)
    texts = (card(found, figure(result)), _json(found.model_dump(mode="json")),
             _json(Record.model_json_schema()), samples(result), markdown.section(found),
             markdown.metadata(found))
    for name, text in zip(WRITTEN, texts, strict=True):
        write_text(out / name, text)
    return [out / name for name in WRITTEN]


def remove(out: Path) -> None:
    """Take away what an earlier decision left in a folder."""
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)


def card(found: Record, svg: str) -> str:
    """The page: one file that needs no other, and no script."""
    # Whatever stands in a name or a note is text, and a name that is missing is an error.
    page = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True,
                              undefined=jinja2.StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)
    page.filters |= {"number": words.number, "harm": words.harm, "p_value": words.p_value}
    return page.get_template(CARD).render(record=found, words=words, figure=svg)


def figure(result: Result) -> str:
    """`margins` as an SVG element that a reader's voice can name; equal results, equal bytes."""
    with plt.rc_context():
        use_style()
        plt.rcParams["svg.hashsalt"] = "gate"
        drawn, told = margins(result.lines), io.StringIO()
        drawn.savefig(told, format="svg", transparent=True, metadata=NO_METADATA)
        plt.close(drawn)
    svg = told.getvalue()
    element = re.sub(r' (width|height)="[\d.]+pt"', "", svg[svg.index("<svg"):], count=2)
    return element.replace("<svg", '<svg role="img" aria-labelledby="chart-title chart-text"', 1
                           ).replace(">", f">{_titles(result)}", 1)


def _titles(result: Result) -> str:
    told = [f"{row.says}: {row.value / row.allowed:.2f}, {row.verdict}"
            for row in result.lines.itertuples()]
    return ('<title id="chart-title">Harm of every line, as a multiple of what is allowed</title>'
            f'<desc id="chart-text">{html.escape("; ".join(told))}</desc>')


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
