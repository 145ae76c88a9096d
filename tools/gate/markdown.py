"""A section for a model card, and the results as metadata that a model hub reads."""

from huggingface_hub import EvalResult, ModelCardData

from lib.study.text import cell, table
from tools.gate.record import Line, Record
from tools.gate.words import SIGNS, about, harm, headline, number, open_lines, remarks

HEADER = ["Line", "Before", "After", "Harm [limits]", "Allowed", "Items", "Verdict"]


def section(record: Record) -> str:
    """Markdown to paste into a card, or to show as the summary of a workflow."""
    parts = [
        "## Side effects (measured)",
        f"**{SIGNS[record.verdict]} {cell(headline(record))}** {cell(about(record))}",
        table(HEADER, [_row(line) for line in record.lines]),
        f"Harm is the change for the worse from `{_code(record.base.name)}` on the same items, "
        f"with limits one-sided at {record.alpha:g}. A pass of the whole is wrong at most "
        f"{record.alpha:.3g} of the time; a line fails by a p-value adjusted for all lines (Holm).",
        _list("What would decide the open lines:", [f"{name}: {told}"
                                                    for name, told in open_lines(record)]),
        _list("Notes:", remarks(record)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def metadata(record: Record) -> str:
    """``model-index`` of a card's front matter; values are those after tuning."""
    results = [_result(line, record) for line in record.lines]
    return ModelCardData(model_name=record.tuned[0].name, eval_results=results).to_yaml() + "\n"


def _row(line: Line) -> list[str]:
    verdict = f"{SIGNS[line.verdict]} {line.verdict}"
    return [cell(f"{line.says} ({line.metric})"), number(line.before), number(line.after),
            cell(harm(line)), number(line.allowed), f"{line.n:,}", verdict]


def _list(title: str, lines: list[str]) -> str:
    return "\n".join([title, "", *(f"- {cell(line)}" for line in lines)]) if lines else ""


def _code(text: str) -> str:
    """Text between backticks, which takes no escapes."""
    return " ".join(text.replace("`", "'").split())


def _result(line: Line, record: Record) -> EvalResult:
    told = line.model_dump(include={"before", "harm", "low", "high", "allowed", "n", "seeds",
                                    "verdict"})
    return EvalResult(
        task_type="text-generation", dataset_type=f"side-effects-{line.axis}",
        dataset_name=f"Side effects: {line.axis}, words of {record.world}",
        metric_type=line.metric, metric_name=line.says, metric_value=line.after, metric_args=told)
