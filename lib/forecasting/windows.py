"""Windows of real series on the display scale, scaled by their past only.

The frames have the columns of `lib.forecasting.frames`, and those that lead back to the source.
"""

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError


def window_items(
    values: pd.Series,
    history: int,
    name: str = "real",
    *,
    horizon: int = 1,
    warmup: int = 40,
    window: int | None = None,
    centre: float = 100.0,
    spread: float = 12.0,
    low: int = 0,
    high: int = 199,
) -> pd.DataFrame:
    """Windows of one real series on the display scale, scaled by **its past only**.

    In the row of period t both windows and the outcome are shown as
    ``centre + spread (v - location) / scale``, where ``location`` and ``scale`` are mean and
    standard deviation of the values up to t - 1, the last ones known when the earlier of the two
    forecasts is made: all of them, or the last ``window``. Shown values are rounded and clipped
    to ``[low, high]`` (``clipped`` says where that happened); ``outcome`` is neither. The units of
    the source are kept in ``x_raw`` and ``outcome_raw``; `to_units` maps forecasts back.

    Parameters
    ----------
    values : Series
        Observations in time order; the index labels them (column ``date``).
    warmup : int
        Fewest past values behind ``location`` and ``scale``.

    Raises
    ------
    InvalidValueError
        Missing values, or a series too short for one row.
    """
    raw = values.to_numpy(dtype=float)
    first = max(history, warmup)
    last = np.arange(first, len(raw) - horizon)
    if np.isnan(raw).any() or len(last) < 1:
        raise InvalidValueError(
            f"at least {first + horizon + 1} values and none missing",
            f"{len(raw)} values, {int(np.isnan(raw).sum())} missing, in series {name!r}",
            "drop the missing values, or lower `history` or `warmup`",
        )
    location, scale = (a[last - 1] for a in _past_moments(raw, window))
    if not (scale > 0).all():
        raise InvalidValueError(
            "a series that varies", f"a constant stretch in {name!r}", "raise `warmup` or `window`"
        )
    windows = np.lib.stride_tricks.sliding_window_view(raw, history)
    exact = [
        centre + spread * (windows[last - history + k] - location[:, None]) / scale[:, None]
        for k in (0, 1)
    ]
    before, now = (np.rint(e).clip(low, high).astype(int) for e in exact)
    return pd.DataFrame(
        {
            "series": name,
            "t": last,
            "date": values.index[last].astype(str),
            **dict.fromkeys(("rho", "sigma"), np.nan),
            "mu": centre,
            "horizon": horizon,
            "x": now[:, -1],
            "history": now.tolist(),
            "previous_history": before.tolist(),
            "outcome": centre + spread * (raw[last + horizon] - location) / scale,
            "location": location - centre * scale / spread,
            "scale": scale / spread,
            "x_raw": raw[last],
            "outcome_raw": raw[last + horizon],
            "clipped": ((exact[1] < low - 0.5) | (exact[1] > high + 0.5)).any(axis=1),
        }
    )


def to_units(frame: pd.DataFrame) -> pd.DataFrame:
    """Frame of `window_items` in the units of its source.

    ``forecast`` and ``previous_forecast`` become ``location + scale * forecast``; ``x`` and
    ``outcome`` become the exact source values, neither rounded nor clipped.
    """
    mapped = {
        c: frame["location"] + frame["scale"] * frame[c] for c in ("forecast", "previous_forecast")
    }
    return frame.assign(x=frame["x_raw"], outcome=frame["outcome_raw"], **mapped)


def _past_moments(values: np.ndarray, window: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the values up to and including each position."""
    past = pd.Series(values)
    rolling = past.expanding() if window is None else past.rolling(window, min_periods=2)
    return rolling.mean().to_numpy(), rolling.std().to_numpy()
