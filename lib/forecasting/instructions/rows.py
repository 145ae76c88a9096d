"""Rows of the instruction sets: windows of simulated series, worded, with rational answers.

Processes are in standard units, a mean of 0 and innovations (of the local level: noise) of sd 1; a
style maps a standard series z to ``mu + sigma z``, and forecasts alike. A series belongs to one
split, process and style. Forecasts are computed from the **displayed** numbers of a window alone,
so that every label can be repeated from its row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError, UnknownNameError, nearest, require
from lib.forecasting import bayes as families
from lib.forecasting.bayes import ar1_path, ar2_path, local_level_path, ma1_path, posterior_means
from lib.forecasting.instructions.styles import Style, content, plain, read_styles
from lib.forecasting.learners import Path, least_squares_shown
from lib.forecasting.processes import ar1, ar2, local_level, ma1
from lib.study.progress import track

if TYPE_CHECKING:
    from lib.study.profiles import Profile
    from lib.study.settings import ForecastSettings

COLUMNS = {
    "messages": ("chat", "the chat as role and content; the last message is the assistant's"),
    "prompt": ("text", "all that stands before the answer, as one text for models without roles"),
    "answer": ("text", "the label: the number alone, rounded to the decimals of the style"),
    "label_type": ("text", "whose forecast the answer is"),
    "process": ("text", "what generated the series: ar1, ar2, ma1 or `local_level`"),
    "rho": ("number", "persistence of an AR(1), else null"),
    "phi1": ("number", "first coefficient of an AR(2), else null"),
    "phi2": ("number", "second coefficient of an AR(2), else null"),
    "theta": ("number", "coefficient of an MA(1), else null"),
    "level_ratio": ("number", "local level: sd of the level's steps over sigma, else null"),
    "sigma": ("number", "sd of the innovations (local level: of the noise), in the unit"),
    "mu": ("number", "mean of the series (random walk and local level: where it starts), "
                     "in the unit"),
    "horizon": ("count", "periods from the last value shown to the one asked for: 1 or 2"),
    "style": ("text", "how the question is worded"),
    "group": ("text", "kind of style: prices, returns, units, story or chat"),
    "held_out": ("flag", "a style of the test split alone"),
    "unit": ("text", "what the numbers count"),
    "decimals": ("count", "decimals shown, in history and answer"),
    "series": ("text", "identifier of the series; cluster errors by it"),
    "t": ("count", "position of the last value shown in its series, from 0"),
    "history": ("numbers", "values shown, oldest first, exactly as displayed"),
    "outcome": ("number", "what came at t + horizon, as it would be displayed"),
    "forecast": ("number", "full-information forecast before rounding"),
    "forecast_bayes": ("number", "posterior-mean forecast before rounding"),
    "forecast_least_squares": ("number", "least-squares forecast before rounding"),
    "split": ("text", "train, validation or test"),
}
"""Name to kind and meaning, in the order of the files."""

SPLITS = ("train", "validation", "test")
PARAMETERS = ("rho", "phi1", "phi2", "theta", "level_ratio")
LABELS = {"full_information": "forecast", "bayes": "forecast_bayes",
          "least_squares": "forecast_least_squares"}
"""Whose forecast the answer is, and the column that holds it before rounding."""
HORIZONS = (1, 2)
SHORTEST = 4
"""A least-squares learner of two periods ahead needs two pairs of values."""
DIGITS = 8
"""Decimals of stored forecasts: the same on every machine, whatever its last binary digits."""
MAX_TRIES = 200


@dataclass(frozen=True)
class Process:
    """A kind of process: how it is drawn, forecast when known, and learned when not."""

    draw: Callable[..., np.ndarray]  # of the keywords series, length, seed and the parameters
    path: Callable[..., np.ndarray]  # of panel, horizon and the parameters
    family: families.Family


PROCESSES = {
    "ar1": Process(partial(ar1, sigma=1.0), ar1_path, families.ar1_family),
    "ar2": Process(partial(ar2, sigma=1.0), ar2_path, families.ar2_family),
    "ma1": Process(partial(ma1, sigma=1.0), ma1_path, families.ma1_family),
    "local_level": Process(
        lambda level_ratio, **panel: local_level(level_ratio, 1.0, **panel),
        lambda values, h, level_ratio: local_level_path(values, h, level_ratio, 1.0),
        families.local_level_family,
    ),
}


@dataclass(frozen=True)
class Cell:
    """One process with its parameters, and the split to which all its series belong."""

    process: str
    parameters: dict[str, float]
    split: str

    @property
    def name(self) -> str:
        """Such as ``ar2(phi1=1.2,phi2=-0.5)``."""
        inside = ",".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.process}({inside})"

    def draw(self, series: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """Standard panel of shape (series, length)."""
        drawn = PROCESSES[self.process].draw
        return drawn(series=series, length=length, seed=rng, **self.parameters)

    @property
    def path(self) -> Path:
        """Exact conditional expectations of this process."""
        return partial(PROCESSES[self.process].path, **self.parameters)


@dataclass(frozen=True)
class Panel:
    """Displayed series of one cell, ``values`` (series, length) in the unit of their styles."""

    styles: list[Style]
    mu: np.ndarray
    sigma: np.ndarray
    values: np.ndarray


def instruction_sets(
    profile: "Profile", label: str = "full_information"
) -> dict[str, pd.DataFrame]:
    """The three splits, each shuffled; `label` says whose forecast is the answer."""
    given, seed = profile.forecasting, profile.seed
    _check(given, label)
    frames: dict[str, list[pd.DataFrame]] = {split: [] for split in SPLITS}
    every = cells(given)
    with track("instruction sets", len(every)) as progress:
        for position, cell in enumerate(every):
            frames[cell.split].append(cell_rows(cell, position, given, seed, label))
            progress.update(position + 1)
    return {split: _shuffled(parts, seed) for split, parts in frames.items()}


def preview(profile: "Profile", n: int = 5) -> pd.DataFrame:
    """Rows to look at, their styles in turn: training rows of `instruction_sets`.

    Parameters
    ----------
    n : int
        How many.

    Raises
    ------
    InvalidValueError
        A history too short for the least-squares learner, or series that leave a style's range.
    """
    given, seed = profile.forecasting, profile.seed
    _check(given, "full_information")
    # One cell of each process is drawn, the middle one of those in training.
    taught: dict[str, list[tuple[int, Cell]]] = {}
    for position, cell in enumerate(cells(given)):
        if cell.split == "train":
            taught.setdefault(cell.process, []).append((position, cell))
    middle = [found[len(found) // 2] for found in taught.values()]
    rows = _shuffled(
        [cell_rows(cell, position, given, seed, "full_information") for position, cell in middle],
        seed,
    )
    turn = rows.groupby("style").cumcount().argsort(kind="stable")
    columns = ["process", "rho", "style", "unit", "horizon", "prompt", "answer", "forecast"]
    return rows.iloc[turn][columns].head(n).reset_index(drop=True)


def _check(given: "ForecastSettings", label: str) -> None:
    require(label in LABELS, "a label type", repr(label), nearest(label, list(LABELS)),
            UnknownNameError)
    require(given.history >= SHORTEST, f"a history of at least {SHORTEST} values",
            f"forecasting.history = {given.history}",
            "choose a profile or an override with a longer history")


def _shuffled(parts: list[pd.DataFrame], seed: int) -> pd.DataFrame:
    rows = pd.concat(parts, ignore_index=True)
    return rows.sample(frac=1, random_state=seed, ignore_index=True)


def cells(forecasting: "ForecastSettings") -> list[Cell]:
    """All cells: AR(1) on the profile's grids, the others on those of the data file."""
    grids = (forecasting.rhos, forecasting.validation_rhos, forecasting.unseen_rhos)
    declared = {"ar1": {split: [{"rho": rho} for rho in dict.fromkeys(grid)]
                        for split, grid in zip(SPLITS, grids, strict=True)}}
    found = [Cell(process, parameters, split)
             for process, splits in (declared | content()["processes"]).items()
             for split in SPLITS for parameters in splits[split]]
    names = [cell.name for cell in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    require(not repeated, "parameters that stand in one split, once",
            f"{', '.join(repeated)} repeated",
            "mend the grids in the profile or in data/instructions.yml")
    return found


def segment(split: str, history: int, rounds: int) -> tuple[int, int]:
    """First position of a split's own stretch of time, and the first one after it."""
    # The windows and the outcomes of the last: none reaches into another split's stretch.
    length = history + rounds - 1 + HORIZONS[-1]
    start = SPLITS.index(split) * length
    return start, start + length


def cell_rows(
    cell: Cell, position: int, given: "ForecastSettings", seed: int, label: str
) -> pd.DataFrame:
    """All rows of one cell, in the order of series, t and horizon."""
    panel = draw_panel(cell, position, given, seed)
    start, _ = segment(cell.split, given.history, given.rounds)
    last = np.arange(start + given.history - 1, start + given.history - 1 + given.rounds)
    every = np.lib.stride_tricks.sliding_window_view(panel.values, given.history, axis=1)
    windows = every[:, last - given.history + 1].reshape(-1, given.history)
    row = np.repeat(np.arange(given.series), given.rounds)
    frame = _known(cell, panel, row, seed).assign(
        t=np.tile(last, given.series), history=windows.tolist(), label_type=label
    )
    parts = [frame.assign(horizon=h, outcome=panel.values[:, last + h].ravel(), **columns)
             for h, columns in forecasts(cell, windows, panel.mu[row], panel.sigma[row]).items()]
    rows = pd.concat(parts).sort_values(["series", "t", "horizon"], ignore_index=True)
    return _worded(rows, LABELS[label])


def draw_panel(cell: Cell, position: int, given: "ForecastSettings", seed: int) -> Panel:
    """The series of a cell; `position` among the cells decides which style comes first."""
    rng = np.random.default_rng([seed, crc32(cell.name.encode())])
    styles = read_styles(held_out=cell.split == "test")
    # Starting elsewhere in every cell, few series still use all styles.
    own = [styles[(position + k) % len(styles)] for k in range(given.series)]
    mu = np.array([rng.choice(style.means) for style in own])
    sigma = np.array([rng.choice(style.sigmas) for style in own])
    _, end = segment(cell.split, given.history, given.rounds)
    return Panel(own, mu, sigma, _displayed(cell, own, mu, sigma, end, rng))


def _displayed(
    cell: Cell, styles: list[Style], mu: np.ndarray, sigma: np.ndarray, length: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rounded series of shape (series, length); one that leaves its range is drawn anew."""
    low, high, decimals = (np.array([getattr(style, name) for style in styles])[:, None]
                           for name in ("low", "high", "decimals"))
    values, ticks = np.empty((len(styles), length)), 10.0**decimals
    wrong = np.full(len(styles), True)
    for _ in range(MAX_TRIES):
        z = cell.draw(int(wrong.sum()), length, rng)
        exact = mu[wrong, None] + sigma[wrong, None] * z
        values[wrong] = np.rint(exact * ticks[wrong]) / ticks[wrong] + 0.0  # no negative zero
        wrong = ((values < low) | (values > high)).any(axis=1)
        if not wrong.any():
            return values
    raise InvalidValueError(
        "series that stay within the range of their style", f"{cell.name} over {length} periods",
        "lower forecasting.rounds or forecasting.history, or widen low and high in "
        "data/instructions.yml",
    )


def forecasts(
    cell: Cell, windows: np.ndarray, mu: np.ndarray, sigma: np.ndarray
) -> dict[int, dict[str, np.ndarray]]:
    """Forecasts of every window (rows, history) by horizon and column, in the unit of its style."""
    z = (windows - mu[:, None]) / sigma[:, None]
    candidates = PROCESSES[cell.process].family(0.0, 1.0, z.shape[1])
    learned = posterior_means(z, candidates, HORIZONS)
    return {
        h: {
            "forecast": np.round(mu + sigma * cell.path(z, h)[:, -1], DIGITS),
            "forecast_bayes": np.round(mu + sigma * mean, DIGITS),
            "forecast_least_squares": np.round(least_squares_shown(windows, h), DIGITS),
        }
        for h, mean in zip(HORIZONS, learned, strict=True)
    }


def _known(cell: Cell, panel: Panel, row: np.ndarray, seed: int) -> pd.DataFrame:
    """What is the same for a whole series, repeated as `row` says."""
    return pd.DataFrame({
        "series": [f"{cell.name}-s{seed}-{k:04d}" for k in row],
        "process": cell.process, "split": cell.split,
        **{name: cell.parameters.get(name, np.nan) for name in PARAMETERS},
        "mu": panel.mu[row], "sigma": panel.sigma[row],
        "style": [panel.styles[k].name for k in row],
    })


def _worded(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Questions and answers in the words of each row's style."""
    known = {style.name: style for style in read_styles()}
    styles = [known[name] for name in rows["style"]]
    asked = [style.question(history, horizon) for style, history, horizon
             in zip(styles, rows["history"], rows["horizon"], strict=True)]
    answers = [style.number(value) for style, value in zip(styles, rows[target], strict=True)]
    taken = {name: [getattr(style, name) for style in styles]
             for name in ("group", "unit", "decimals", "held_out")}
    return rows.assign(
        prompt=[plain(messages) for messages in asked], answer=answers, **taken,
        messages=[[*messages, {"role": "assistant", "content": answer}]
                  for messages, answer in zip(asked, answers, strict=True)],
    )[list(COLUMNS)]
