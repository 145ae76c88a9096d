"""``side-effects compare``: a run beside the committed reference, cell by cell and claim by claim.

Runs of one base, arm and training seed start from identical weights and items, so that their
values may differ by rounding only, which training amplifies. How far, ``data/tolerances.yml``
says: it was measured (`tools.tolerances`) from reruns under other arithmetic and holds no width of
any interval. Metrics must stay within their tolerance in every run, but for a few cells: strays,
as many and as far away as a rerun shows that is held against tolerances from the others. Some
metrics are coins: a few-step attack ends on one side of a cliff or on the other, by rounding. Their
runs may lie beyond the tolerance as often as they did in those reruns, and no more often: runs are
counted and held against a binomial law; and never may all runs of one cell fall to the same side.
Conclusions have the last word: a claim that is decided the other way round is a failure, whatever
its cells.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from scipy import stats

from lib.chapters.claims import (
    FAILS,
    HOLDS,
    REAL,
    Decision,
    claims,
    decided,
    decided_of_real,
    run_tables,
)
from lib.errors import InvalidValueError, require
from lib.plots.layers import cell_text
from lib.study.notebook import RUN, read_table
from lib.study.paths import DATA, FIGURES, run_dir
from lib.study.profiles import Profile, is_part, load_profile
from lib.study.store import RECORD
from lib.study.text import read_yaml

TOLERANCES = DATA / "tolerances.yml"
RUN_KEYS = ("base", "seed")
ASKED = ("condition", "metric")
"""Columns of a cell that say what was asked of a model; all others say which model."""
MEASURED = ("value", "se", "df", "n", "least", "most", "low", "high", "bases", "runs", "p",
            "p_holm", "p_exact", "discordance", "detectable", "task_loss", "utility", "seconds",
            "kept", "margin", "key")
"""Columns of either table that are found, not given; all others name a cell."""
COMPARED = ("value", "low", "high", "n")
LEVEL = 0.001
"""Of the count of coins: a run that is as it should be fails it once in a thousand metrics."""
SEVERAL = 4
"""Bases from which on a cell whose runs all fall to one side has not done so by rounding."""
SHOWN = 5
"""Cells listed for each exhibit; the count is given in full."""


@dataclass(frozen=True, config={"extra": "forbid"})
class Tolerance:
    """Allowed distance ``absolute + relative * |committed|``.

    For most metrics nothing may be further away. For a coin, `beyond` is the share, of so many
    (`of`) runs, that other arithmetic put there.
    """

    absolute: float = Field(0.0, ge=0)
    relative: float = Field(0.0, ge=0)
    beyond: float = Field(0.0, ge=0, le=1)
    of: int = Field(0, ge=0)

    def times(self, found: pd.Series, committed: pd.Series) -> pd.Series:
        """Distance in tolerances: two missing values agree, one missing value is infinitely far."""
        apart = (found - committed).abs()
        ratio = (apart / (self.absolute + self.relative * committed.abs())).where(apart > 0, 0.0)
        return ratio.mask(found.isna() != committed.isna(), np.inf)

    def too_many(self, beyond: int, runs: int) -> bool:
        """Whether so many runs of a coin are more than the share measured, at most, explains."""
        fell = self.beyond * self.of
        most = stats.beta.ppf(0.95, fell + 1, self.of - fell) if fell < self.of else 1.0
        return bool(stats.binom.sf(beyond - 1, runs, most) < LEVEL)


@dataclass(frozen=True, config={"extra": "forbid"})
class Strays:
    """Cells beyond their tolerance that say nothing yet: a share of all, up to so many `times`."""

    share: float = Field(0.0, ge=0, le=1)
    times: float = Field(1.0, ge=1)

    def most(self, cells: int) -> int:
        """How many of so many cells may stray."""
        return int(np.ceil(self.share * cells))


NONE = Strays()
Tolerances = Mapping[str, Mapping[str, Tolerance]]
"""Exhibit to metric to tolerance; ``default`` stands for every other metric, or exhibit."""


@dataclass(frozen=True)
class Comparison:
    """Outcome for one exhibit: how many cells were compared, and a line for each difference."""

    exhibit: str
    cells: int
    lines: tuple[str, ...] = ()
    note: str = ""  # of coins that fell otherwise, as often as they may; of what a failure means
    strays: tuple[str, ...] = ()  # lines of cells a little beyond

    def __str__(self) -> str:
        head = f"{'FAIL' if self.lines else 'ok  '}  {self.exhibit}: {self.cells} cells"
        head += f", {len(self.lines)} differ" if self.lines else ""
        shown = [f"      {line}" for line in self.lines[:SHOWN]]
        more = len(self.lines) - SHOWN
        shown += [f"      and {more} more"] if more > 0 else []
        shown += [f"      stray: {line}" for line in self.strays[:SHOWN]]
        return "\n".join([head, *shown, *([f"      {self.note}"] if self.note else [])])


def report(
    found: Path | None = None, committed: Path | None = None, tolerances: Path | None = None,
    notebooks: str = "",
) -> tuple[str, bool]:
    """A line an exhibit and a claim that changed, and a closing count; whether nothing failed.

    `found` is a run folder, `committed` the folder of exhibits that it is held against.
    """
    found, committed = found or run_dir("sandbox"), committed or FIGURES
    limits = load_tolerances(tolerances or TOLERANCES)
    figures = found / "figures"
    require(any(figures.glob("*/*.csv")), f"tables of a run in {figures}", "none",
            "run the study first, ./run_all.sh, or name another run's folder with --found")
    alike = settings(found / "manifest.json", committed / RUN)
    allowed = load_strays(tolerances or TOLERANCES)
    results = compare(figures, committed, limits, notebooks, alike, allowed)
    here, there = (verdicts(folder, notebooks) for folder in (figures, committed))
    more = (too_many_strays(results, allowed) + other_bases(found, committed / RUN)
            + reversals(here, there))
    failed = sum(bool(result.lines) for result in results)
    closing = (f"{len(results) - failed} exhibits agree, {failed} differ; claims: {tally(here)}; "
               f"in the reference {tally(there)}")
    return "\n".join([*map(str, results), *more, closing]), bool(results) and not (failed or more)


# --- settings -------------------------------------------------------------------------------------

def settings(manifest: Path, committed: Path) -> bool:
    """Whether a run is of the committed profile itself; refuses one that is no part of it."""
    ours, theirs = _facts(manifest), _facts(committed)
    require(ours["seed"] == theirs["seed"], f"a run with seed {theirs['seed']}, as the reference",
            f"seed {ours['seed']}, whose items and training are others",
            "run the profile as it is; what another seed concludes, side-effects claims shows")
    profile = Profile.model_validate(ours["settings"])
    whole = load_profile(theirs["profile"])
    require(is_part(profile, whole), f"a run of the profile {whole.name} or a part of it",
            f"{profile.name} with {ours['parameters'] or 'settings of its own'}",
            "run it without -p, in a profile that has the reference's settings")
    return is_part(whole, profile)


def other_bases(run: Path, committed: Path) -> list[str]:
    """A line for each base model of a run whose weights are not the committed ones."""
    ours, theirs = base_weights(run), _facts(committed).get("bases", {})
    others = [n for n in ours if theirs.get(n, ours[n]) != ours[n]]
    return [f"FAIL  base {n}: weights {ours[n][:12]}, committed {theirs[n][:12]}; restore "
            "data/bases, or compare conclusions alone with side-effects claims" for n in others]


def base_weights(run: Path) -> dict[str, str]:
    """SHA-256 of the weights of each base that a run's notebooks used, by its number."""
    entries = _facts(run / "manifest.json").get("notebooks", {}).values()
    used = sorted({name for entry in entries for name in entry["artefacts"]
                   if re.match(r"models/(base|guard)_\d+-", name)})
    files = {re.search(r"\d+", name)[0].lstrip("0") or "0":
             _facts(run / name / RECORD)["files"] for name in used}
    return {number: each["model.safetensors"]["sha256"] for number, each in files.items()}


def too_many_strays(results: Sequence[Comparison], allowed: Strays) -> list[str]:
    """A line where more cells stray, over all exhibits, than other arithmetic makes."""
    cells = sum(result.cells for result in results)
    strays = sum(len(result.strays) for result in results)
    if strays <= allowed.most(cells):
        return []
    return [f"FAIL  {strays} of {cells} cells lie beyond their tolerance, where other arithmetic "
            f"makes {allowed.most(cells)} at most"]


def _facts(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise InvalidValueError(
            f"what a run was made with in {path}", "nothing that can be read",
            "name the folder of a run of this study, or of its exhibits") from None


# --- cells ----------------------------------------------------------------------------------------

def load_tolerances(path: Path = TOLERANCES) -> Tolerances:
    """Read the tolerances from YAML."""
    kind = TypeAdapter(dict[str, dict[str, Tolerance]])
    try:
        return kind.validate_python(read_yaml(path)["exhibits"])
    except (ValidationError, KeyError) as error:
        raise InvalidValueError(
            f"exhibits with tolerances in {path.name}", " ".join(str(error).split())[:200],
            "make it anew: side-effects tolerances RUN_FOLDER RUN_FOLDER...") from None


def load_strays(path: Path = TOLERANCES) -> Strays:
    """How many cells may stray, and how far; none where the file does not say."""
    return TypeAdapter(Strays).validate_python(read_yaml(path).get("strays", {}))


def tolerance(limits: Tolerances, exhibit: str, metric: str) -> Tolerance:
    """Of one metric in one exhibit."""
    own = limits.get(exhibit, {})
    general = limits.get("default", {})
    return own.get(metric) or own.get("default") or general.get(metric) or general.get(
        "default", Tolerance())


def compare(
    found: Path, committed: Path, limits: Tolerances, notebooks: str = "", alike: bool = False,
    strays: Strays = NONE,
) -> list[Comparison]:
    """Compare two folders of exhibits, in the order of their ids.

    What has runs is compared by its runs, everything else by its table. Runs that one side lacks
    differ only if the run is of the committed profile itself (`alike`).
    """
    sides = [{path.stem: path for kind in ("tables", "runs")
              for path in sorted((folder / kind).glob("*.csv"))} for folder in (found, committed)]
    chosen = sorted(name for name in sides[0].keys() | sides[1].keys()
                    if not notebooks or name[:2] in notebooks.split(","))
    return [_compared(name, *(side.get(name) for side in sides), limits, alike, strays)
            for name in chosen]


def _compared(
    exhibit: str, found: Path | None, committed: Path | None, limits: Tolerances, alike: bool,
    strays: Strays,
) -> Comparison:
    if found is None or committed is None or found.parent.name != committed.parent.name:
        return Comparison(exhibit, 0, ("only the run has it" if committed is None else
                                       "the run made no such table" if found is None else
                                       "only one of the two has runs behind its table",))
    try:
        left, right = read_table(found), read_table(committed)
    except (ValueError, OSError) as error:  # what pandas raises of damaged files
        return Comparison(exhibit, 0, (f"cannot be read: {error}",))
    return compare_tables(exhibit, left, right, limits, alike, strays)


def compare_tables(
    exhibit: str, found: pd.DataFrame, committed: pd.DataFrame, limits: Tolerances,
    alike: bool = True, strays: Strays = NONE,
) -> Comparison:
    """Compare two tables of one exhibit, or of its runs, cell by cell."""
    if set(found) != set(committed):
        return Comparison(exhibit, 0, (
            f"columns {', '.join(found)}; committed: {', '.join(committed)}",))
    pairs = paired(found, committed)
    lines = _one_sided(pairs, alike)
    both = same_runs(pairs)
    judged = [_metric(tolerance(limits, exhibit, metric), group, strays.times)
              for metric, group in both.groupby("metric", sort=False)]
    wrong, stray = (pd.concat([found for found in each if len(found)] or [both[:0]])
                    for each in ([j[0] for j in judged], [j[1] for j in judged]))
    lines += _lines(wrong)
    notes = [j[2] for j in judged if j[2]] + ([meaning(wrong, both)] if len(wrong) else [])
    return Comparison(exhibit, len(both), tuple(lines), "; ".join(notes), tuple(_lines(stray)))


def _lines(cells: pd.DataFrame) -> list[str]:
    return [f"{cell_name(row)}: {_numbers(row)}" for _, row in cells.iterrows()]


def paired(found: pd.DataFrame, committed: pd.DataFrame) -> pd.DataFrame:
    """Cells of two tables side by side, matched by name, and by order among equal names."""
    keys = [column for column in found if column not in MEASURED]
    named = [table.assign(**{key: table[key].map(cell_text) for key in keys}) for table in
             (found, committed)]
    named = [table.assign(_order=table.groupby(keys, dropna=False).cumcount()) for table in named]
    return named[0].merge(named[1], "outer", [*keys, "_order"], suffixes=("", "_committed"),
                          indicator=True, sort=False)


def same_runs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Cells of both sides; of a table without runs behind it, those made of as many."""
    both = pairs[pairs["_merge"] == "both"]
    counts = [name for name in ("bases", "runs") if name in both]
    alike = [both[name].fillna(0) == both[f"{name}_committed"].fillna(0) for name in counts]
    return both[np.logical_and.reduce(alike)] if alike else both


def _one_sided(pairs: pd.DataFrame, alike: bool) -> list[str]:
    """Cells of one side only; a smaller profile may lack whole runs, but no cell of a run."""
    lone = pairs[pairs["_merge"] != "both"]
    if not alike:
        here = [name for name in given(pairs) if name not in ASKED]
        made = pairs[pairs["_merge"] != "right_only"][here].drop_duplicates()
        lone = lone.merge(made, on=here)
    kinds = {"left_only": "not committed", "right_only": "the run lacks it"}
    return [f"{cell_name(row)}: {kinds[row['_merge']]}" for _, row in lone.iterrows()]


def _metric(
    limit: Tolerance, cells: pd.DataFrame, times: float
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Cells of one metric that differ more than they may, strays, and what is to say of coins."""
    apart = pd.Series(0.0, cells.index)
    # Over other numbers of bases a table's intervals are others, its values those of its runs.
    columns = ("value", "n") if set(RUN_KEYS) <= set(cells) else COMPARED
    for column in (c for c in columns if c in cells):
        exact = Tolerance() if column == "n" else limit
        apart = np.fmax(apart, exact.times(pd.to_numeric(cells[column]),
                                           pd.to_numeric(cells[f"{column}_committed"])))
    far, none = apart > 1, cells[:0]
    if not limit.of or not far.any():
        return cells[apart > times], cells[far & (apart <= times)], ""
    runs = runs_of(cells)
    beyond, number, metric = runs[far].nunique(), runs.nunique(), cells["metric"].iloc[0]
    note = f"{metric}, a coin: {beyond} of {number} runs fell otherwise"
    if limit.too_many(beyond, number):
        return cells[far], none, f"{note}, where other arithmetic makes {limit.beyond:.0%}"
    return cells[_turned(cells, far)], none, note


def _turned(cells: pd.DataFrame, far: pd.Series) -> pd.Series:
    """Cells of a coin whose runs, on several bases, all fell to the same side."""
    side = np.sign(cells["value"] - cells["value_committed"]).where(far, 0.0)
    keys = [key for key in given(cells) if key not in RUN_KEYS]
    rows = side.groupby([cells[key] for key in keys])
    return (rows.transform("sum").abs() == rows.transform("size")) & (
        rows.transform("size") >= SEVERAL)


def runs_of(cells: pd.DataFrame) -> pd.Series:
    """A name for the model behind each cell: what is asked of it falls together."""
    return cells[[key for key in given(cells) if key not in ASKED]].agg(" / ".join, axis=1)


def given(pairs: pd.DataFrame) -> list[str]:
    """Columns that name a cell of a run."""
    return [column for column in pairs if column not in {*MEASURED, "_order", "_merge"}
            and not column.endswith("_committed")]


def cell_name(row: pd.Series) -> str:
    """``lora / all / refusal_rate, attack benign, base 2, seed 1``."""
    first = " / ".join(row[name] for name in ("arm", "condition", "metric") if name in row)
    more = [f"{name} {row[name]}" for name in given(row.to_frame().T) if row[name]
            and name not in ("arm", "condition", "metric")]
    return ", ".join([first, *more])


def _numbers(row: pd.Series) -> str:
    told = [f"{column} {row[column]:.6g}, committed {row[f'{column}_committed']:.6g}"
            for column in COMPARED if column in row
            and (column == "value" or row[column] != row[f"{column}_committed"])]
    return "; ".join(told[:2] if "base" not in row else told[:1])


def meaning(wrong: pd.DataFrame, cells: pd.DataFrame) -> str:
    """What cells that differ have in common, and what that may mean."""
    shared = {name: set(wrong[name]) for name in ("base", "arm", "n") if name in wrong}
    if "n" in wrong and (wrong["n"] != wrong["n_committed"]).any():
        return "numbers of items differ: items were drawn otherwise, so data or settings changed"
    if len(shared.get("base", ())) == 1 < cells["base"].nunique():
        return (f"all on base {shared['base'].pop()}: its model is not the committed one, or was "
                "tuned otherwise")
    if len(shared.get("arm", ())) == 1 < cells["arm"].nunique():
        arm = shared["arm"].pop()
        if arm == "base":
            return "the base models themselves: their weights, or the items, are others"
        return f"all in the arm {arm}: it was trained otherwise (its settings, code or packages)"
    if len(wrong) > len(cells) / 2:
        return "most cells: other base models, items or code"
    return "single cells: more than other arithmetic was seen to do; another processor may do more"


# --- conclusions ----------------------------------------------------------------------------------

def verdicts(figures: Path, notebooks: str = "") -> dict[str, Decision]:
    """Decision by id of all claims, or of those of some notebooks, in a folder of exhibits."""
    asked = [c for c in claims() if not notebooks or c.id[:2] in notebooks.split(",")]
    real = figures.name == REAL or figures.parent.name == REAL  # committed, or of a run
    return (decided_of_real if real else decided)(asked, run_tables(figures))


def reversals(here: Mapping[str, Decision], there: Mapping[str, Decision]) -> list[str]:
    """A line for each claim that holds on one side and does not on the other."""
    return [f"FAIL  claim {id}: {told(here[id])}; in the reference {told(there[id])}"
            for id in here if {here[id].verdict, there[id].verdict} == {HOLDS, FAILS}]


def told(found: Decision) -> str:
    """``holds (-0.35 [-0.41, -0.29])``."""
    if not found.bases:
        return found.verdict
    return f"{found.verdict} ({found.value:.3g} [{found.low:.3g}, {found.high:.3g}])"


def listing(runs: Sequence[Path]) -> str:
    """All claims, one line each, in the committed reference and in some run folders."""
    found = {"reference": verdicts(FIGURES), **{run.name: verdicts(run / "figures")
                                                for run in runs}}
    names = list(found)
    table = pd.DataFrame({name: {id: told(one) for id, one in several.items()}
                          for name, several in found.items()}, index=[c.id for c in claims()])
    lines = [f"{name}: {tally(found[name])}" for name in names]
    return "\n".join([table.to_string(), *lines])


def tally(found: Mapping[str, Decision]) -> str:
    """``30 hold, 2 do not hold, 5 open`` of the claims that are in the run."""
    verdicts = [decision.verdict for decision in found.values()]
    return (f"{verdicts.count(HOLDS)} hold, {verdicts.count(FAILS)} do not, "
            f"{len(verdicts) - verdicts.count(HOLDS) - verdicts.count(FAILS)} open")
