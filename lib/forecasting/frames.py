"""Item frames of the forecasting task: what is shown, and what came next.

One row per series and round. Columns that every frame has:

==================  ======================================================================
``series``          unique identifier; errors are clustered by it
``t``               position of the last value shown within its series (0 is the oldest)
``rho, sigma, mu``  parameters of the process (NaN where they are not known)
``horizon``         h, periods from the last value shown to the outcome
``x``               last value shown
``history``         values shown, oldest first; the last one is ``x``
``previous_history``  what was shown one round earlier; the last one is ``x_{t-1}``
``outcome``         ``x_{t+h}``
==================  ======================================================================

``forecast`` (of ``x_{t+h}`` given ``history``) and ``previous_forecast`` (of the **same**
``x_{t+h}`` given ``previous_history``, hence h + 1 periods ahead) are filled by benchmarks,
by forecasters with habits, or by a language model. Frames of real series have further columns,
which lead back to the source.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError, require
from lib.forecasting.processes import ar1

LOW, HIGH = 0, 199
"""Ends of the display scale."""
CENTRE, SPREAD = 100.0, 12.0
"""Mean and standard deviation at which a real series is shown."""
WARMUP = 40
"""Fewest past values behind the scale of a real series."""
MAX_BATCHES = 200
Rule = Callable[[np.ndarray, int], np.ndarray]
"""Numbers shown (rows, history) and periods ahead to forecasts (rows,)."""


def panel_items(
    values: np.ndarray, history: int, ids: Sequence[str], horizon: int = 1, **columns: Any
) -> pd.DataFrame:
    """Cut a panel into items, every round that fits: ``length - history - horizon`` of them.

    The first row of a series shows positions ``1..history``, so that a round before it exists.

    Parameters
    ----------
    values : ndarray, shape (series, length)
    history : int
        Numbers shown.
    ids : sequence of str
        Identifiers of the series.
    columns :
        Constants for all rows, such as ``rho``.

    Raises
    ------
    InvalidValueError
        A panel too short for one round, or identifiers that are not unique.
    """
    values = np.asarray(values)
    rounds = values.shape[1] - history - horizon
    require(rounds >= 1 and len(set(ids)) == len(values),
            f"at least {history + horizon + 1} values a series and one unique id for each",
            f"{values.shape[1]} values, {len(set(ids))} unique ids for {len(values)} series",
            "simulate longer series, show less history, or rename the series")
    windows = np.lib.stride_tricks.sliding_window_view(values, history, axis=1)
    last = np.arange(history, history + rounds)
    return pd.DataFrame({
        "series": np.repeat(np.asarray(ids, dtype=object), rounds),
        "t": np.tile(last, len(values)),
        **dict.fromkeys(("rho", "sigma", "mu"), np.nan),
        **columns,
        "horizon": horizon,
        "x": values[:, last].ravel(),
        "history": windows[:, 1 : rounds + 1].reshape(-1, history).tolist(),
        "previous_history": windows[:, :rounds].reshape(-1, history).tolist(),
        "outcome": values[:, last + horizon].ravel(),
    })


def ar1_items(
    rhos: Sequence[float], series: int, rounds: int, history: int, sigma: float, mu: float = 100.0,
    low: int = LOW, high: int = HIGH, *, horizon: int = 1, seed: int,
) -> pd.DataFrame:
    """Panel in the manner of Afrouzi et al. (2023), on a display scale of integers.

    All values, ``outcome`` included, are the **displayed integers**. A series that leaves
    ``[low, high]`` is drawn anew, which truncates the process; column ``rejected`` is the share
    rejected at that rho (about 1 % at rho = 1 and none below, for 21 values with sigma = 8 on
    0..199). Series of different seeds or rhos share no random number.

    Parameters
    ----------
    series, rounds, history : int
        Series per rho (the clusters), rows per series, and numbers shown.
    sigma, mu : float
        Standard deviation of the innovations, and mean.

    Raises
    ------
    InvalidValueError
        When almost every series leaves the display scale.
    """
    frames = []
    for rho in rhos:
        rng = np.random.default_rng([seed, round((rho + 1) * 1e6), history, horizon])
        length = history + rounds + horizon
        draw = partial(ar1, rho, series, length, sigma, mu, seed=rng)
        label = f"rho = {rho}, sigma = {sigma}, mu = {mu}"
        values, rejected = displayed(draw, label, low, high)
        ids = [f"ar1-{rho:g}-s{seed}-{k:04d}" for k in range(series)]
        known = {"rho": float(rho), "sigma": float(sigma), "mu": float(mu)}
        frames.append(panel_items(values, history, ids, horizon, **known, rejected=rejected))
    return pd.concat(frames, ignore_index=True)


def displayed(
    draw: Callable[[], np.ndarray], label: str, low: int = LOW, high: int = HIGH
) -> tuple[np.ndarray, float]:
    """Rounded series that stay on the scale, as many as a draw has, and the share rejected."""
    kept, drawn, accepted = [], 0, 0
    for _ in range(MAX_BATCHES):
        batch = np.rint(draw()).astype(int)
        inside = ((batch >= low) & (batch <= high)).all(axis=1)
        kept.append(batch[inside])
        drawn, accepted = drawn + len(batch), accepted + int(inside.sum())
        if accepted >= len(batch):
            return np.concatenate(kept)[: len(batch)], 1 - accepted / drawn
    raise InvalidValueError(
        f"series that stay within {low}..{high}",
        f"{accepted} of {drawn} draws did ({label})",
        "lower sigma or the number of rounds, or widen the display scale",
    )


def shown(frame: pd.DataFrame, column: str = "history") -> np.ndarray:
    """Matrix ``(rows, history)`` of the numbers in ``history`` or ``previous_history``."""
    return np.stack([np.asarray(h, dtype=float) for h in frame[column]])


def horizon_of(frame: pd.DataFrame) -> int:
    """The one horizon of a frame; 1 where it has no column ``horizon``."""
    horizons = sorted(set(frame["horizon"])) if "horizon" in frame else [1]
    require(len(horizons) == 1, "items of one horizon", f"horizons {horizons}",
            "split the frame by `horizon`")
    return int(horizons[0])


def both_rounds(frame: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Both forecasts of every item, by a rule for the numbers shown in each round."""
    h = horizon_of(frame)
    return frame.assign(
        forecast=rule(shown(frame), h),
        previous_forecast=rule(shown(frame, "previous_history"), h + 1),
    )


def panel_values(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Panel (series, max t + 1) put together from windows, and each item's row of it."""
    row = pd.factorize(frame["series"])[0]
    t = frame["t"].to_numpy()
    values = np.full((row.max() + 1, t.max() + 1), np.nan)
    for column, end in (("history", t), ("previous_history", t - 1)):
        window = shown(frame, column)
        positions = end[:, None] - np.arange(window.shape[1])[::-1]
        values[row[:, None], positions] = window
    require((np.isnan(values).cumsum(axis=1)[row, t] == 0).all(),
            "the windows of every series from its first value on",
            "series whose past is not in the frame",
            "keep all rounds of a series, or use what is shown only")
    return values, row


def window_items(values: pd.Series, history: int, name: str = "real") -> pd.DataFrame:
    """Windows of one real series on the display scale, scaled by **its past only**; h = 1.

    In the row of period t both windows and the outcome are shown as
    ``CENTRE + SPREAD (v - location) / scale``, with mean and standard deviation of all values up to
    t - 1, the last ones known when the earlier of the two forecasts is made. Shown values are
    rounded and clipped to the display scale (``clipped`` says where); ``outcome`` is neither.
    ``x_raw`` and ``outcome_raw`` keep the units of the source; `to_units` maps forecasts back.

    Parameters
    ----------
    values : Series
        Observations in time order; the index labels them (column ``date``).
    history, name : int, str
        Numbers shown, and identifier of the series.

    Raises
    ------
    InvalidValueError
        Missing values, a series too short for one row, or one that does not vary.
    """
    raw = values.to_numpy(dtype=float)
    first = max(history, WARMUP)
    last = np.arange(first, len(raw) - 1)
    require(len(last) >= 1 and not np.isnan(raw).any(),
            f"at least {first + 2} values and none missing",
            f"{len(raw)} values, {int(np.isnan(raw).sum())} missing, in series {name!r}",
            "drop the missing values, or choose a longer series")
    past = pd.Series(raw).expanding()
    location, scale = (moment.to_numpy()[last - 1] for moment in (past.mean(), past.std()))
    require((scale > 0).all(), "a series that varies", f"a constant stretch in {name!r}",
            "leave out its first values")
    windows = np.lib.stride_tricks.sliding_window_view(raw, history)
    exact = [CENTRE + SPREAD * (windows[last - history + k] - location[:, None]) / scale[:, None]
             for k in (0, 1)]
    before, now = (np.rint(e).clip(LOW, HIGH).astype(int) for e in exact)
    return pd.DataFrame({
        "series": name,
        "t": last,
        "date": values.index[last].astype(str),
        **dict.fromkeys(("rho", "sigma"), np.nan),
        "mu": CENTRE,
        "horizon": 1,
        "x": now[:, -1],
        "history": now.tolist(),
        "previous_history": before.tolist(),
        "outcome": CENTRE + SPREAD * (raw[last + 1] - location) / scale,
        "location": location - CENTRE * scale / SPREAD,
        "scale": scale / SPREAD,
        "x_raw": raw[last],
        "outcome_raw": raw[last + 1],
        "clipped": ((exact[1] < LOW - 0.5) | (exact[1] > HIGH + 0.5)).any(axis=1),
    })


def to_units(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of `window_items` with both forecasts, in the units of its source.

    Forecasts become ``location + scale * forecast``; ``x`` and ``outcome`` become the exact source
    values, neither rounded nor clipped.
    """
    mapped = {c: frame["location"] + frame["scale"] * frame[c]
              for c in ("forecast", "previous_forecast")}
    return frame.assign(x=frame["x_raw"], outcome=frame["outcome_raw"], **mapped)
