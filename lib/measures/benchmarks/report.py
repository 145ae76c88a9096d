"""The public benchmarks by name, and what fine-tuning did to a model on them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib.errors import UnknownNameError, nearest, require
from lib.measures.benchmarks import (
    bbq,
    blimp,
    crows_pairs,
    stereoset,
    toxigen,
    wikitext2,
    winobias,
    winogender,
)
from lib.measures.benchmarks.paired import Metrics, bootstrap, percent
from lib.models.batches import chunks
from lib.models.folders import LoadedModel, load
from lib.statistics.estimate import Estimate, rows
from lib.statistics.means import mean
from lib.study.progress import track

SEED = 0
"""Of the draws behind intervals."""
PIECE = 256
"""Items between two reports of progress."""


@dataclass(frozen=True)
class Benchmark:
    """What is asked, how a model is scored on it item by item, and how items become scores."""

    items: Callable[[], pd.DataFrame]
    score: Callable[[LoadedModel, pd.DataFrame], pd.DataFrame]
    parts: Callable[[pd.DataFrame], pd.DataFrame]
    metrics: Metrics = percent
    gated: bool = False
    """Whether the user has to bring its files; asked only by name."""

    def summarise(self, *frames: pd.DataFrame) -> list[Estimate]:
        """Scores of one model's item frame; of two models' frames, their change."""
        parts = [self.parts(frame) for frame in frames]
        return bootstrap(parts, self.metrics, frames[0]["item"].nunique(), seed=SEED)


BENCHMARKS: dict[str, Benchmark] = {
    "stereoset": Benchmark(
        stereoset.intrasentence, stereoset.score, stereoset.parts, stereoset.metrics),
    "crows_pairs": Benchmark(
        lambda: crows_pairs.pairs("gender"), crows_pairs.score_all, crows_pairs.parts),
    "winobias": Benchmark(
        winobias.sentences, winobias.score, winobias.parts, winobias.metrics),
    "winogender": Benchmark(winogender.sentences, winogender.score, winogender.parts),
    "winogender_odds": Benchmark(
        winogender.pronoun_pairs, winogender.score_odds, winogender.parts_odds,
        winogender.metrics_odds),
    "bbq": Benchmark(bbq.clear_questions, bbq.score, bbq.parts, bbq.metrics),
    "blimp": Benchmark(blimp.minimal_pairs, blimp.score, blimp.parts),
    "wikitext2": Benchmark(
        wikitext2.articles, wikitext2.score, wikitext2.parts, wikitext2.metrics),
    "toxigen": Benchmark(
        toxigen.statements, toxigen.score, toxigen.parts, toxigen.metrics, gated=True),
}
"""A new one is a module beside this one and its line here."""


def benchmark_report(
    base: Path, tuned: Sequence[Path], names: Sequence[str], most: int | None = None
) -> pd.DataFrame:
    """Scores of a base model and of fine-tuned ones, and their paired changes.

    A change has the error bar of its items, drawn in clusters, the same for both models; the mean
    change of several tuned models, as of training seeds, that of the models.

    Parameters
    ----------
    base, tuned : path, sequence of paths
        Model folders, see `lib.models.folders.load`.
    names : sequence of str
        Keys of `BENCHMARKS`.
    most : int, optional
        At most so many items of each, spread evenly; a pair of sentences is never parted.

    Returns
    -------
    DataFrame
        An exhibit's columns: the arm is a folder's name, the condition a benchmark; the metric of
        a change ends in ``_change``.

    Raises
    ------
    UnknownNameError, DownloadError, InvalidValueError
        Another benchmark, one whose files are not on this machine, models of one name.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise UnknownNameError("a benchmark", name, nearest(name, list(BENCHMARKS)))
    folders = {Path(folder).resolve().name: Path(folder) for folder in (base, *tuned)}
    require(len(folders) == 1 + len(tuned), "models whose folders have different names",
            ", ".join(map(str, (base, *tuned))), "rename one, or name it once")
    items = {name: thinned(BENCHMARKS[name].items(), most) for name in names}
    frames = {arm: _scored(arm, folder, items) for arm, folder in folders.items()}
    return pd.concat([_rows(name, {arm: found[name] for arm, found in frames.items()})
                      for name in names], ignore_index=True)


def thinned(items: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """At most so many items, spread evenly; rows of one item are never parted."""
    if most is None or len(items) <= most:
        return items
    keys = items["item"].unique()
    count = max(2, most * len(keys) // len(items))
    chosen = keys[np.unique(np.linspace(0, len(keys) - 1, count).astype(int))]
    return items[items["item"].isin(chosen)].reset_index(drop=True)


def _scored(arm: str, folder: Path, items: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Item frames of one model; its weights are gone when the next one is loaded."""
    model = load(folder)
    return {name: _answered(model, f"{arm}, {name}", BENCHMARKS[name].score, asked)
            for name, asked in items.items()}


def _answered(model: LoadedModel, label: str, score: Callable, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame, made piece by piece so that progress can be told."""
    frames = []
    with track(label, len(items)) as progress:
        for piece in chunks(len(items), PIECE):
            frames.append(score(model, items.iloc[piece]))
            progress.update(piece.stop)
    frame = pd.concat(frames, ignore_index=True)
    require(frame.select_dtypes(float).notna().all(axis=None), f"numbers for all items ({label})",
            "gaps, as of weights that training blew up", "train the model with a smaller step size")
    return frame


def _rows(name: str, frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of one benchmark: each model, each change from the first, and their mean."""
    benchmark, (before, *tuned) = BENCHMARKS[name], frames.values()
    changes = [benchmark.summarise(before, after) for after in tuned]
    found = [(arm, benchmark.summarise(frame)) for arm, frame in frames.items()]
    found += [(arm, [_change(e) for e in change])
              for arm, change in zip(list(frames)[1:], changes, strict=True)]
    tables = [_table(name, estimates, arm, 1) for arm, estimates in found]
    if len(changes) > 1:
        mean = [_change(_mean(several)) for several in zip(*changes, strict=True)]
        tables.append(_table(name, mean, f"mean of {len(changes)}", len(changes)))
    return pd.concat(tables)


def _mean(several: Sequence[Estimate]) -> Estimate:
    """Mean of one metric over models, t interval; the items are those of the benchmark."""
    first = several[0]
    return mean(first.name, [e.value for e in several], "over models", n=first.n)


def _table(name: str, estimates: Iterable[Estimate], arm: str, runs: int) -> pd.DataFrame:
    table = pd.DataFrame(map(asdict, estimates)).assign(condition=name)
    return rows(table, arm).assign(runs=runs)


def _change(estimate: Estimate) -> Estimate:
    return Estimate(**vars(estimate) | {"name": f"{estimate.name}_change"})
