"""What the chapters on extrapolation share: panels, a model's cached forecasts, exhibits' rows.

Then two questions of the first of them: are the nominal 95 % intervals honest at this size, and
does asking for a better forecast help? Prompts are chosen on validation items, and compared on
test items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lib.errors import InvalidValueError
from lib.forecasting.frames import window_items
from lib.forecasting.learners import bayes
from lib.forecasting.real import real_series
from lib.measures import overreaction
from lib.measures.measured import by_arm, everyone, model_frame, model_frames
from lib.statistics.calibration import METRICS, Design, Market, calibrate_lags, calibration_table
from lib.statistics.comparison import compare, share_removed
from lib.statistics.coverage import ARMS, base_coverage
from lib.statistics.estimate import Estimate, row, rows
from lib.statistics.pooling import combine, holm, seed_row
from lib.statistics.regressions import by_condition, implied_persistence
from lib.study.notebook import COLUMNS, Study
from lib.study.workers import side_by_side
from lib.world.truth import planted_rho_s, settings


def panel(study: Study, split: str = "train") -> pd.DataFrame:
    """Test items of one split of persistences; see `lib.measures.overreaction.panel`."""
    return overreaction.panel(study.profile, split)


def real_panel(study: Study, name: str, last: int = 200) -> pd.DataFrame:
    """The last windows of a real series on the display scale; see `window_items`."""
    items = window_items(real_series(name), study.profile.forecasting.history, name)
    return items.tail(last).reset_index(drop=True)


def forecasts(
    study: Study, folder: Path, items: pd.DataFrame, prompt: str = "neutral", **how: Any
) -> pd.DataFrame:
    """`forecasts_of` a single model."""
    return forecasts_of(study, {"": [folder]}, items, prompt, **how)[""][0]


def forecasts_of(
    study: Study, arms: Mapping[str, Sequence[Path]], items: pd.DataFrame, prompt: str = "neutral",
    number: int = 0, *, revisions: bool = False,
) -> dict[str, list[pd.DataFrame]]:
    """The items with the forecasts of every model; cached in the run's store.

    Parameters
    ----------
    prompt, number : str, int
        Instruction and style of the question; see `lib.measures.overreaction.forecast`.
    revisions : bool
        Ask for the previous forecast too, which takes twice as long; for error on revision.
    """
    ask = overreaction.forecast if revisions else overreaction.forecast_now
    return by_arm(arms, model_frames(study, "forecasts", everyone(arms), ask, items, prompt,
                                     number))


def coefficient_rows(frame: pd.DataFrame, estimator, arm: str) -> pd.DataFrame:
    """One arm's coefficient by rho."""
    return rows(by_condition(frame, estimator), arm)


def pooled_rows(frames: list[pd.DataFrame], estimator, arm: str) -> pd.DataFrame:
    """One arm's coefficient by rho over training seeds (Rubin's rules; `combine`)."""
    return pd.concat([seed_row([estimator(f[f["rho"] == rho]) for f in frames], arm, rho)
                      for rho in sorted(frames[0]["rho"].unique())], ignore_index=True)


def change_rows(before: pd.DataFrame, after: list[pd.DataFrame], arm: str) -> pd.DataFrame:
    """Change of implied persistence by rho on identical items, seeds pooled, Holm-corrected."""
    parts, estimates = [], []
    for rho in sorted(before["rho"].unique()):
        cell = before[before["rho"] == rho]
        estimates.append(combine(
            [compare(cell, f[f["rho"] == rho], implied_persistence) for f in after]))
        parts.append(row(estimates[-1], arm, rho, len(after)))
    return pd.concat(parts, ignore_index=True).assign(p_holm=holm(estimates))


def removed_rows(
    before: pd.DataFrame, after: list[pd.DataFrame], rational: pd.DataFrame, arm: str
) -> pd.DataFrame:
    """Share of the excess over the rational row that is gone; empty where there was none."""
    try:
        shares = [share_removed(before, f, rational, by="rho") for f in after]
    except InvalidValueError:
        nothing = Estimate("share_removed", *[float("nan")] * 4, len(before), 0, "not defined")
        return row(nothing, arm, "all rho", len(after))
    return seed_row(shares, arm, "all rho")


PANELS = 1000
RHOS = (0.0, 0.4, 0.8, 0.95)
UNEQUAL, SPREAD = (0.8,), 1.5
"""Persistence of the panels whose series are of very unequal length, and `Design.spread`."""
ONE_BASE, SEVERAL = (1, 1), ((4, 1), (12, 1), (12, 2))
"""Bases and seeds: of a single model, of the default run, and of what a larger one costs."""
ACCEPTED = (0.93, 0.97)
"""Coverage that passes for 95 %."""


def calibrated(study: Study) -> pd.DataFrame:
    """Coverage, bias, size and power in simulated panels of the profile's size; cached."""
    given = study.profile.forecasting
    equal = [Design(rho, float(planted_rho_s(rho)), given.series, given.rounds, given.history,
                    given.sigma) for rho in RHOS]
    designs = equal + [replace(d, spread=SPREAD) for d in equal if d.rho in UNEQUAL]
    inputs = {"designs": designs, "panels": PANELS, "seed": study.seed}
    panels = partial(calibration_table, designs, METRICS, PANELS, seed=study.seed)
    lags = partial(calibrate_lags, Market(), PANELS, seed=study.seed)
    return pd.concat([study.store.frame("calibration", inputs, panels),
                      study.store.frame("calibration_lags", inputs | {"designs": Market()}, lags)])


def calibrated_bases(study: Study) -> pd.DataFrame:
    """Coverage and width of intervals over bases, in simulated studies; cached."""
    inputs = {"arms": ARMS, "designs": (ONE_BASE, *SEVERAL), "studies": PANELS,
              "seed": study.seed}
    return study.store.frame("calibration_bases", inputs, lambda: pd.concat([
        base_coverage([a for a in ARMS if not a.breaks], [ONE_BASE], PANELS, seed=study.seed),
        base_coverage(ARMS, SEVERAL, PANELS, seed=study.seed)], ignore_index=True))


def coverage_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage, bias and power as exhibit rows; Wilson for shares, normal for a bias."""
    parts = []
    for _, one in table.iterrows():
        condition = "stocks" if pd.isna(one["rho"]) else f"rho {one['rho']:g}"
        condition += ", unequal series" if one["spread"] > 0 else ""
        told, n = (one["metric"], condition), int(one["panels"])
        parts += [(*told, metric, *_share(one[metric], n)) for metric in SHARES
                  if pd.notna(one[metric])]
        reach = 1.96 * one["bias_se"]
        parts.append((*told, "bias", one["bias"], one["bias"] - reach, one["bias"] + reach, n))
    return pd.DataFrame(parts, columns=COLUMNS[:7]).reindex(columns=COLUMNS)


SHARES = ("coverage", "coverage_t", "coverage_wild", "coverage_independent", "power")


def base_coverage_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage over bases as exhibit rows: arm and metric together, by design."""
    ordered = table.sort_values("metric", key=lambda m: m.map([*NAMES].index), kind="stable")
    parts = [(f"{NAMES[one.metric]}: {one.arm}", _design(one.bases, one.seeds), "coverage",
              *_share(one.coverage, one.studies), one.width) for one in ordered.itertuples()]
    columns = [*COLUMNS[:7], "width"]
    return pd.DataFrame(parts, columns=columns).reindex(columns=[*COLUMNS, "width"])


NAMES = {"refusal_rate": "level", "refusal_rate_change": "change", "broken_share": "broken share"}


def _share(value: float, n: int) -> tuple[float, float, float, int]:
    return value, *proportion_confint(value * n, n, method="wilson"), int(n)


def _design(bases: int, seeds: int) -> str:
    """Such as ``12 bases, 2 seeds``."""
    return ", ".join(f"{n} {what}{'s' * (n > 1)}" for n, what in ((bases, "base"), (seeds, "seed")))


def prompt_arms() -> dict[str, str]:
    """Arm to prompt of ``forecasts.yml``: ``base`` asks plainly, others are ``prompt_<name>``."""
    names = settings("forecasts")["prompts"]
    return {"base" if name == "neutral" else f"prompt_{name}": name for name in names}


def describe_prompts() -> pd.DataFrame:
    """One row an arm: what stands before the question, and the planted effect on the excess."""
    rows = []
    for arm, name in prompt_arms().items():
        how = settings("forecasts")["prompts"][name]
        shots, again = how.get("shots"), how.get("again")
        text = how.get("system") or (f"{shots} rational examples" if shots else None)
        text = text or (f"its first answer, then: {again}" if again else "nothing")
        rows.append({"arm": arm, "what stands before": text, "planted factor": how["factor"]})
    return pd.DataFrame(rows).set_index("arm")


def validate_prompts(study: Study, base: Path) -> pd.DataFrame:
    """Mean excess over Bayes on validation items, indexed by arm, best first."""
    items = panel(study, "validation")
    rational = _by_rho(bayes(items))
    excess = {arm: (_by_rho(frame) - rational).mean()
              for arm, frame in prompted(study, base, items).items()}
    return pd.Series(excess, name="excess").rename_axis("arm").sort_values().to_frame()


def prompted(study: Study, base: Path, items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Forecasts of the items by prompt arm; arms are asked side by side."""
    arms = prompt_arms()
    frames = side_by_side(
        lambda prompt, run: model_frame(study, "forecasts", base, run, overreaction.forecast_now,
                                        items, prompt, 0),
        list(arms.values()), study.profile.workers)
    return dict(zip(arms, frames, strict=True))


def _by_rho(frame: pd.DataFrame) -> pd.Series:
    return by_condition(frame, implied_persistence).set_index("rho")["value"]
