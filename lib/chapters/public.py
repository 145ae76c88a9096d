"""A real model: its exhibits beside the planted ones, and what published benchmarks say of it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lib.chapters.attacks import Models
from lib.chapters.claims import as_lora
from lib.errors import DownloadError
from lib.measures.benchmarks.report import BENCHMARKS, thinned
from lib.measures.chat.measures import opened
from lib.measures.chat.requests import FORBIDDEN, requests
from lib.measures.measured import by_arm, everyone, model_frames, run_table
from lib.plots.layers import cell_text
from lib.statistics.estimate import Measure, measure_table
from lib.statistics.shares import rate
from lib.study.notebook import COLUMNS, Study, read_table
from lib.study.progress import say

LONGEST = 2000
"""Characters of a long text that are scored."""


def benchmark_runs(study: Study, arms: Models, most: dict[str, int]) -> pd.DataFrame:
    """Run table: scores of published benchmarks, which are the condition.

    Parameters
    ----------
    arms : mapping
        Arm to run to model folder.
    most : mapping
        Benchmark (`lib.measures.benchmarks.report.BENCHMARKS`) to its items, at most, spread
        evenly. One whose files are not on this machine is left out, and said so.
    """
    parts = []
    for name, count in most.items():
        benchmark = BENCHMARKS[name]
        try:
            items = thinned(benchmark.items(), max(count, 2))
        except DownloadError as error:
            say(f"{name} is left out. {error}")
            continue
        if "text" in items:
            items = items.assign(text=items["text"].str[:LONGEST])
        frames = model_frames(study, name, everyone(arms), benchmark.score, items)
        parts.append(run_table(by_arm(arms, frames), lambda frame, name=name, of=benchmark: (
            measure_table(Measure.of(found, name) for found in of.summarise(frame)))))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def xstest_runs(study: Study, arms: Models, most: int = 3) -> pd.DataFrame:
    """Run table of real refusals, by opening words: XSTest's forbidden and harmless requests.

    Parameters
    ----------
    arms : mapping
        Arm to run to model folder.
    most : int
        Requests of each of its eighteen types.
    """
    try:
        asked = requests(most=most)
    except DownloadError as error:
        say(f"XSTest is left out. {error}")
        return pd.DataFrame()
    items = asked.drop(columns="request")
    frames = model_frames(study, "xstest", everyone(arms), opened, items, most)
    return run_table(by_arm(arms, frames), _refused)


def _refused(frame: pd.DataFrame) -> pd.DataFrame:
    parts = {True: ("refusal_rate", "XSTest, forbidden"), False: ("over_refusal", "XSTest, safe")}
    return measure_table(
        Measure.share(rate(some, "refused", parts[forbidden][0]), parts[forbidden][1])
        for forbidden, some in frame.groupby(frame["label"] == FORBIDDEN))


def beside(
    study: Study, id: str, where: Mapping[str, str], arms: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows of an exhibit: ``planted models`` of this run, and the committed ``real model``.

    The condition is what tells rows apart: arm, attack or condition of the exhibit, or several.

    Parameters
    ----------
    id : str
        Of an exhibit of this notebook.
    where : mapping
        Column to the value that is wanted, such as ``{"metric": "refusal_rate"}``.
    arms : sequence of str, optional
        Of the planted models; all by default. The real model's are found as for claims: LoRA
        stands there for what moves all weights.
    """
    own = read_table(study.run_dir / "figures" / "tables" / f"{id}.csv")
    real = study.of_real(f"tables/{id}.csv")
    if study.profile.model.source != "sandbox":
        own, real = None, own
    adapted = [as_lora({"arm": arm})["arm"] for arm in arms]
    rows = pd.concat([_rows(own, where, arms, "planted models"),
                      _rows(real, where, adapted, "real model")], ignore_index=True)
    parts = [rows["kind"], *(rows[name] for name in ("attack", "condition") if name in rows)]
    apart = [part for part in parts if part.nunique() > 1] or parts[:1]
    told = apart[0] if len(apart) == 1 else apart[0].str.cat(
        [part.map(cell_text) for part in apart[1:]], sep=", ")
    return rows.assign(arm=rows["model"], condition=told)[COLUMNS]


def _rows(
    table: pd.DataFrame | None, where: Mapping[str, str], arms: Sequence[str], model: str
) -> pd.DataFrame:
    """Some rows of a table, with ``kind``: the arm whatever way its weights move."""
    if table is None:
        return pd.DataFrame(columns=[*COLUMNS, "model", "kind"])
    wanted = table["arm"].isin([*arms]) | (not arms)
    for column, value in where.items():
        wanted &= table[column] == value
    rows = table[wanted]
    kind = rows["arm"].str.replace("^(?:full|lora)_", "", regex=True)
    return rows.assign(model=model, kind=kind.replace({"full": "plain", "lora": "plain"}))
