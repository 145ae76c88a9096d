"""What the chapters on extrapolation share: panels, a model's cached forecasts, exhibits' rows.

Then two questions of the first of them: are the nominal 95 % intervals honest at this size, and
does asking for a better forecast help? Prompts are chosen on validation items, and compared on
test items.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lib.errors import InvalidValueError
from lib.forecasting.frames import window_items
from lib.forecasting.learners import bayes
from lib.forecasting.real import real_series
from lib.measures import overreaction
from lib.measures.measured import by_arm, everyone, model_frame, model_frames, run_table
from lib.statistics.bases import all_run_rows
from lib.statistics.calibration import METRICS, Design, Market, calibrate_lags, calibration_table
from lib.statistics.comparison import compare, share_removed
from lib.statistics.coverage import ARMS, base_coverage
from lib.statistics.estimate import Estimate, Measure, measure_table, row, rows
from lib.statistics.regressions import Estimator, by_condition, implied_persistence
from lib.study.design import Run
from lib.study.notebook import COLUMNS, Study
from lib.study.workers import side_by_side
from lib.world.analysts import imitation
from lib.world.truth import natural, planted_rho_s, settings

Models = Mapping[str, Mapping[Run, Path]]
"""Arm to run to model folder."""
Answers = Mapping[str, Mapping[Run, pd.DataFrame]]
"""Arm to run to the items with its forecasts."""


def panel(study: Study, split: str = "train") -> pd.DataFrame:
    """Test items of one split of persistences; see `lib.measures.overreaction.panel`."""
    return overreaction.panel(study.profile, split)


def real_panel(study: Study, name: str) -> pd.DataFrame:
    """The last windows of a real series on the display scale; see `window_items`."""
    items = window_items(real_series(name), study.profile.forecasting.history, name)
    return items.tail(study.profile.correction.windows).reset_index(drop=True)


def forecasts_of(
    study: Study, arms: Models, items: pd.DataFrame, prompt: str = "neutral", number: int = 0, *,
    revisions: bool = False,
) -> dict[str, dict[Run, pd.DataFrame]]:
    """The items with the forecasts of every arm and run; cached in the run's store.

    Parameters
    ----------
    arms : mapping
        Arm to run to model folder.
    prompt, number : str, int
        Instruction and style of the question; see `lib.measures.overreaction.forecast`.
    revisions : bool
        Ask for the previous forecast too, which takes twice as long; for error on revision.
    """
    ask = overreaction.forecast if revisions else overreaction.forecast_now
    return by_arm(arms, model_frames(study, "forecasts", everyone(arms), ask, items, prompt,
                                     number))


def panel_answers(study: Study, arms: Models) -> dict[str, dict[Run, pd.DataFrame]]:
    """`forecasts_of` `panel`, as the axis asks for them: a table of all axes finds them again."""
    axis = overreaction.AXIS
    return by_arm(arms, model_frames(study, axis.name, everyone(arms), axis.measured,
                                     axis.items(study.profile)))


def coefficient_rows(frame: pd.DataFrame, estimator: Estimator, arm: str) -> pd.DataFrame:
    """Exhibit rows of a forecaster that is no model: its coefficient by rho."""
    return rows(by_condition(frame, estimator), arm)


def coefficient_runs(answers: Answers, estimator: Estimator) -> pd.DataFrame:
    """Run table: each run's coefficient by rho."""
    return run_table(answers, partial(by_condition, estimator=estimator))


def gap_runs(
    answers: Answers, benchmark: pd.DataFrame, metric: str = "over_reaction",
    estimator: Estimator = implied_persistence,
) -> pd.DataFrame:
    """Run table: each run's coefficient by rho less a benchmark's, paired on identical items."""
    table = partial(_gaps, benchmark, estimator=estimator)
    return run_table(answers, table).assign(metric=metric)


def change_runs(answers: Answers) -> pd.DataFrame:
    """Run table: change of implied persistence by rho since its base, on identical items."""
    return _since(answers, partial(_gaps, estimator=implied_persistence))


def removed_runs(answers: Answers, rational: pd.DataFrame) -> pd.DataFrame:
    """Run table: share of its base's excess over the rational row that a run has lost."""
    return _since(answers, partial(_removed, rational=rational))


def _since(
    answers: Answers, table: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """``table(before, after)`` of every run of the other arms, before being its base."""
    return all_run_rows((table(answers["base"][Run(run.base, 0)], frame), arm, *run)
                        for arm, several in answers.items() if arm != "base"
                        for run, frame in several.items())


def _gaps(before: pd.DataFrame, after: pd.DataFrame, estimator: Estimator) -> pd.DataFrame:
    """After less before of a coefficient by rho, one stacked regression each."""
    found = compare(before, after, estimator, "rho")
    return pd.DataFrame([{"rho": rho} | vars(one) for rho, one in found.items()])


def _removed(before: pd.DataFrame, after: pd.DataFrame, rational: pd.DataFrame) -> pd.DataFrame:
    return measure_table([Measure.of(_share_lost(before, after, rational), "all rho")])


def _share_lost(before: pd.DataFrame, after: pd.DataFrame, rational: pd.DataFrame) -> Estimate:
    try:
        return share_removed(before, after, rational, by="rho")
    except InvalidValueError:  # before had no excess
        return Estimate("share_removed", *[np.nan] * 4, len(before), 0, "not defined", np.nan)


def lag_table(lags: Iterable[Estimate]) -> pd.DataFrame:
    """Metric table of the weights on past values; the condition is how far back, from 1."""
    return measure_table(Measure.of(e, k) for k, e in enumerate(lags, start=1)).assign(
        metric="lag_coefficient")


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
        rows.append({"arm": arm, "what stands before": text, "planted factor": how.get("factor")})
    return pd.DataFrame(rows).set_index("arm")


def validate_prompts(study: Study, base: Path) -> pd.DataFrame:
    """Mean excess over Bayes on validation items, indexed by arm, best first."""
    items = panel(study, "validation")
    rational, run = _by_rho(bayes(items)), Run(study.profile.bases.chosen_on, 0)
    excess = {arm: (_by_rho(frames[run]) - rational).mean()
              for arm, frames in prompted(study, {run: base}, items, prompt_arms()).items()}
    return pd.Series(excess, name="excess").rename_axis("arm").sort_values().to_frame()


def prompted(
    study: Study, models: Mapping[Run, Path], items: pd.DataFrame, arms: Mapping[str, str]
) -> dict[str, dict[Run, pd.DataFrame]]:
    """Forecasts of the items by prompt arm and model; all are asked side by side."""
    asked = [(prompt, folder) for prompt in arms.values() for folder in models.values()]
    frames = side_by_side(
        lambda one, run: model_frame(study, "forecasts", one[1], run, overreaction.forecast_now,
                                     items, one[0], 0),
        asked, study.profile.workers)
    return by_arm({arm: models for arm in arms}, frames)


def imitated(items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``planted``: the items as a perfect imitator answers them, where somebody planted anything.

    Parameters
    ----------
    items : DataFrame
        From `panel`.
    """
    return {} if natural() else {"planted": imitation(items)}


def beyond_planted(removed: pd.DataFrame, planted: pd.DataFrame) -> pd.DataFrame:
    """Run table of ``beyond_planted``: what prompts remove, less what was planted for them.

    Parameters
    ----------
    removed, planted : DataFrame
        From `removed_runs` and `planted_rows`.
    """
    known = removed[removed["arm"].isin(planted["arm"])]
    share = known["arm"].map(planted.set_index("arm")["value"]).astype(float)
    return known.assign(metric="beyond_planted", value=known["value"] - share)


def planted_rows(items: pd.DataFrame, arms: Mapping[str, str]) -> pd.DataFrame:
    """Share of the excess that each prompt removes from a perfect imitator of the analysts."""
    if natural():
        return pd.DataFrame(columns=COLUMNS)
    before, rational = imitation(items), bayes(items)
    return pd.concat([row(_share_lost(before, imitation(items, prompt), rational), arm,
                          "all rho")
                      for arm, prompt in arms.items()]).assign(metric="planted_share")


def _by_rho(frame: pd.DataFrame) -> pd.Series:
    return by_condition(frame, implied_persistence).set_index("rho")["value"]
