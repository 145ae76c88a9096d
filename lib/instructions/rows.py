"""Rows of the instruction sets: one a window and horizon, labelled and worded.

A series belongs to one split, one process and one style.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError, UnknownNameError
from lib.instructions.columns import COLUMNS
from lib.instructions.processes import PARAMETERS, SPLITS, Cell, cells, segment
from lib.instructions.series import Panel, draw_panel, forecasts
from lib.instructions.styles import plain, read_styles
from lib.names import nearest
from lib.progress import track

if TYPE_CHECKING:
    from lib.profiles import Profile
    from lib.settings import ForecastSettings

LABELS = {"full_information": "forecast", "bayes": "forecast_bayes",
          "least_squares": "forecast_least_squares"}
"""Whose forecast the answer is, and the column that holds it before rounding."""
SHORTEST = 4
"""A least-squares learner of two periods ahead needs two pairs of values."""


def instruction_sets(
    profile: "Profile", seed: int | None = None, label: str = "full_information"
) -> dict[str, pd.DataFrame]:
    """The three splits, each shuffled, with the columns of `lib.instructions.columns`.

    ``forecasting.series`` series of every process and parameter, ``forecasting.rounds`` windows
    of each, both horizons.

    Parameters
    ----------
    seed : int, optional
        The profile's if not given.
    label : {"full_information", "bayes", "least_squares"}
        Whose forecast is the answer.

    Raises
    ------
    UnknownNameError
        Another label.
    InvalidValueError
        A history too short for the least-squares learner, or series so long that they leave the
        range of a style.
    """
    given, seed = profile.forecasting, profile.seed if seed is None else seed
    _check(given, label)
    frames: dict[str, list[pd.DataFrame]] = {split: [] for split in SPLITS}
    every = cells(given)
    with track("instruction sets", len(every)) as progress:
        for position, cell in enumerate(every):
            frames[cell.split].append(cell_rows(cell, position, given, seed, label))
            progress.update(position + 1)
    return {split: _shuffled(parts, seed) for split, parts in frames.items()}


def preview(profile: "Profile", n: int = 5, seed: int | None = None) -> pd.DataFrame:
    """`n` rows to look at, their styles in turn: training rows of `instruction_sets`.

    Only one cell of each process is drawn for it, the middle one of those in training.
    """
    given, seed = profile.forecasting, profile.seed if seed is None else seed
    _check(given, "full_information")
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


def cell_rows(
    cell: Cell, position: int, given: "ForecastSettings", seed: int, label: str
) -> pd.DataFrame:
    """All rows of one cell, in the order of series, t and horizon."""
    panel = draw_panel(cell, position, given, seed)
    start, end = segment(cell.split, given.history, given.rounds)
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


def _shuffled(parts: list[pd.DataFrame], seed: int) -> pd.DataFrame:
    rows = pd.concat(parts, ignore_index=True)
    return rows.sample(frac=1, random_state=seed, ignore_index=True)


def _check(given: "ForecastSettings", label: str) -> None:
    if label not in LABELS:
        raise UnknownNameError("a label type", repr(label), nearest(label, list(LABELS)))
    if given.history < SHORTEST:
        raise InvalidValueError(
            f"a history of at least {SHORTEST} values", f"forecasting.history = {given.history}",
            "choose a profile or an override with a longer history",
        )
