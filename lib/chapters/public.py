"""What published benchmarks say of a real model's arms, beside the study's own items."""

import pandas as pd

from lib.chapters.attacks import Models
from lib.errors import DownloadError
from lib.measures.benchmarks.report import BENCHMARKS, thinned
from lib.measures.chat.measures import opened
from lib.measures.chat.requests import FORBIDDEN, requests
from lib.measures.measured import by_arm, everyone, model_frames, run_table
from lib.statistics.estimate import Measure, measure_table
from lib.statistics.shares import rate
from lib.study.notebook import Study
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

