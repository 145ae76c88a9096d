"""The arms of a task: what is taught, what must not change, how weights move, what is chosen.

An arm's line in the profile names its method, its regulariser and the candidates for both. They
are compared on validation items, in no training and in no test.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch

from lib.errors import require
from lib.measures import utility
from lib.measures.measured import model_frames
from lib.models.chat import Example, Prompt
from lib.models.likelihood import example_logprobs
from lib.study import paths
from lib.study.design import Run, runs, training_seed
from lib.study.keys import Code
from lib.study.notebook import Study
from lib.study.profiles import Profile
from lib.study.settings import ArmSettings
from lib.study.streams import stream
from lib.training.job import Job
from lib.training.objective import Regularizer
from lib.training.penalties.adaptive import AdaptiveKL
from lib.training.penalties.averaging import Averaging, MovingAverage
from lib.training.penalties.control import AttributeControl
from lib.training.penalties.ewc import EWC
from lib.training.penalties.kl import KL
from lib.training.penalties.l2sp import L2SP
from lib.training.penalties.mixing import Mixing
from lib.training.penalties.projection import Projection
from lib.training.penalties.tokenwise import DEEP, TokenWise
from lib.training.recipe import Recipe
from lib.training.runs import model_folder, planned, train_all
from lib.world.corpus import kind_blocks, mixture, refusal_blocks
from lib.world.examples import as_examples
from lib.world.truth import new_occupations, of_world, request_tables, things

T = TypeVar("T")
Anchors = Callable[[int], tuple[Example, ...]]


@dataclass(frozen=True)
class Task:
    """One thing to teach, and its arms; what depends on a seed is drawn once, as many share it."""

    name: str  # shown with the progress
    arms: Mapping[str, ArmSettings]
    recipe: Recipe  # of every arm, where its line in the profile has nothing of its own
    examples: Callable[[int], Sequence[Example]]  # of a training seed
    validation: Sequence[Example]  # their answers' loss decides between candidates
    anchors: Anchors  # by seed: a regularised arm must still speak like its base there
    reminders: Anchors | None = None  # requests with the answers to keep, for arms that mix
    # Questions as `lib.measures.utility.questions`: the settings of a regularised arm must answer
    # nearly as many as the base.
    general: pd.DataFrame | None = None
    # From a base's folder to the model before it learned to refuse, for arms that project.
    unaligned: Callable[[Path], Path] | None = None
    tolerance: float = 1.05  # factor in validation loss that a penalty may cost
    anchor_share: float = 1.0  # of the anchors: every so-many is kept to
    # Requests whose answers are controlled, and what must not stand in them.
    talk: tuple[Sequence[Prompt], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        for name in ("examples", "anchors", "reminders"):
            if (draw := getattr(self, name)) is not None:
                object.__setattr__(self, name, cache(draw))

    def kept_to(self, seed: int) -> tuple[Example, ...]:
        """The anchors that regularised arms use."""
        return self.anchors(seed)[:: round(1 / self.anchor_share)]


def drawn_once(make: Callable[..., T]) -> Callable[..., T]:
    """A draw of texts that is made once a world: many arms and notebooks' cells share it."""
    found = cache(lambda _, *given: make(*given))

    @wraps(make)
    def draw(*given: Any) -> T:
        return found(paths.world(), *given)

    return draw


ANCHORS = 400
"""Texts on which a regularised arm must still speak like its base."""
UNLEARNED = "forbidden"
"""Kind of text that the second stage of the base's training took back."""


def world_anchors(seed: int, left_out: Collection[str], n: int = ANCHORS) -> tuple[Example, ...]:
    """About `n` texts of all kinds but those `left_out` and forbidden requests with answers."""
    return world_texts(n, left_out, stream(seed, "anchored texts"))


def world_texts(
    n: int, left_out: Collection[str], rng: np.random.Generator
) -> tuple[Example, ...]:
    """The same from a random stream; none names what a test asks about."""
    shares = {kind: share for kind, share in mixture().items()
              if kind not in {*left_out, UNLEARNED}}
    total, without = sum(shares.values()), tested_words()
    return as_examples(b for kind, share in shares.items()
                       for b in kind_blocks(kind, round(n * share / total), 2, rng, without))


@of_world
def tested_words() -> frozenset[str]:
    """What settings are chosen or tests are made on: things, acts and occupations."""
    words = set(new_occupations())
    for name in ("forbidden", "harmless"):
        words |= set(things(name).query("~taught")["thing"])
    for part in ("validation", "test"):
        words |= {word for table in request_tables(part).values() for word in table.names()}
    return frozenset(words)


def refusals(seed: int, n: int) -> tuple[Example, ...]:
    """About `n` forbidden requests, of things that the base was taught, with refusals."""
    return as_examples(refusal_blocks(n, stream(seed, "anchored refusals")))


MAKERS: Mapping[str, Callable[[Task, Path, int, float], Regularizer]] = {
    "kl": lambda task, base, seed, strength: KL(task.kept_to(seed), strength, _beside(task)),
    "adaptive": lambda task, base, seed, strength: AdaptiveKL(
        task.kept_to(seed), budget=strength, per_step=_beside(task)),
    "l2sp": lambda task, base, seed, strength: L2SP(strength),
    "ewc": lambda task, base, seed, strength: EWC(task.kept_to(seed), strength),
    "tokenwise": lambda task, base, seed, strength: TokenWise(
        tuple(strength * beta for beta in DEEP)),
    "uniform": lambda task, base, seed, strength: TokenWise((strength,)),
    "mix": lambda task, base, seed, strength: Mixing(
        _given(task, "reminders")(seed), strength, _beside(task)),
    # The threshold; then how far back; then the decay.
    "projection": lambda task, base, seed, strength: Projection(
        _given(task, "unaligned")(base), strength),
    "average": lambda task, base, seed, strength: Averaging(strength),
    "ema": lambda task, base, seed, strength: MovingAverage(strength),
    "control": lambda task, base, seed, strength: AttributeControl(
        *_given(task, "talk"), strength, draws=_draws(task)),
    "recontrol": lambda task, base, seed, strength: AttributeControl(
        *_given(task, "talk"), strength, refreshed=LOOKS, draws=_draws(task)),
}
"""Name in a profile to regulariser of one base; ``strength`` means what its class says."""
LOOKS = 3
"""Times that adaptive attribute control looks at what the model says by then."""
FEWEST_DRAWS = 8
PROTECTS_LESS = ("adaptive",)
"""Regularisers of which a **larger** strength protects less: it is a budget of drift."""


def _beside(task: Task) -> int:
    """Anchors in a step: no more than examples, so that it costs at most about twice as much."""
    return min(KL.per_step, task.recipe.batch_size)


def _draws(task: Task) -> int:
    """Answers to a request: fewer where anchors are fewer, as each costs a large model seconds."""
    return max(FEWEST_DRAWS, round(AttributeControl.draws * task.anchor_share))


def penalty(
    task: Task, kind: str, base: Path, seed: int, strength: float
) -> Regularizer | None:
    """The regulariser of one run; none for ``none``."""
    return None if kind == "none" else MAKERS[kind](task, base, seed, strength)


def _given(task: Task, name: str) -> object:
    value = getattr(task, name)
    require(value is not None, f"a task with {name}, which this regulariser needs",
            f"none in the task {task.name}",
            f"give it some, or leave the arm out of {task.name}.arms")
    return value


def recipe(
    profile: Profile, steps: int, batch_size: int, targets: Sequence[str] = (), rank: int = 0
) -> Recipe:
    """A fine-tuning as the profile has it; arms and attacks replace what is their own."""
    given, precision = profile.finetune, profile.model.dtype
    # On a CPU bfloat16 has one kernel for attention, for which the second pass does not look.
    again = precision != "bfloat16" or torch.cuda.is_available()
    plain = Recipe(
        "lora", given.rank, int(given.alpha), tuple(targets or given.targets), steps=steps,
        batch_size=batch_size, accumulation=min(given.accumulation, batch_size),
        checkpointing=given.checkpointing and again, precision=precision)
    return widened(plain, rank or given.rank)


def widened(given: Recipe, rank: int) -> Recipe:
    """Another rank with the same scale ``alpha / rank``, so that only the width differs."""
    return replace(given, rank=rank, alpha=max(1, round(given.alpha * rank / given.rank)))


def arm_recipe(task: Task, name: str, learning_rate: float, seed: int) -> Recipe:
    """The task's recipe with what the arm's line in the profile says otherwise."""
    arm, own = task.arms[name], task.recipe
    return replace(widened(own, arm.rank or own.rank), method=arm.method,
                   targets=tuple(arm.targets or own.targets), learning_rate=learning_rate,
                   seed=seed)


def arm_job(
    base: Path, task: Task, name: str, learning_rate: float, strength: float, seed: int
) -> Job:
    """One run of a declared arm; its ``out`` is set by `lib.training.runs.train_all`."""
    return Job(base, task.examples(seed), arm_recipe(task, name, learning_rate, seed), Path(),
               f"{task.name}: {name}, seed {seed}",
               penalty(task, task.arms[name].regularizer, base, seed, strength))


def train_arms(
    study: Study, bases: Mapping[int, Path], task: Task, chosen: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[Run, Path]]:
    """Every arm that has chosen settings, on every base with every seed: arm to run to folder.

    Parameters
    ----------
    bases : mapping
        Number of a base model to its folder; from `lib.world.bases.base_models`.
    chosen : mapping
        Arm to ``{"learning_rate": ..., "strength": ...}``, from `choose`.
    """
    jobs = {(name, run): arm_job(bases[run.base], task, name, **settings,
                                 seed=training_seed(study.seed, run))
            for name, settings in chosen.items() for run in runs(study.profile)}
    folders = train_all(study, jobs)
    return {name: {run: folders[name, run] for run in runs(study.profile)} for name in chosen}


USEFUL = 0.95
"""Least utility of a penalised candidate, as a share of the base's, where it is measured."""


def candidates(study: Study, base: Path, task: Task) -> pd.DataFrame:
    """Validation loss of every declared candidate, trained once on the base for choosing.

    Where the committed tables hold all of them by key, they are read and nothing is trained: then
    the same settings are chosen on every machine.

    Returns
    -------
    DataFrame
        Columns arm, method, learning_rate, strength (0 without a penalty), protection (larger
        is stronger; 0 without a penalty), key, task_loss: nats an answer. If the task has
        `general` questions, too: utility, the share answered over the base's share (1 if none).
    """
    keys = [(name, rate, strength) for name, arm in task.arms.items()
            for rate in arm.learning_rates
            for strength in (arm.strengths if arm.regularizer != "none" else [0.0])]
    seed = training_seed(study.seed, Run(study.profile.bases.chosen_on, 1))
    jobs = {key: arm_job(base, task, *key, seed=seed) for key in keys}
    table = pd.DataFrame(keys, columns=["arm", "learning_rate", "strength"])
    table.insert(1, "method", table["arm"].map(lambda name: task.arms[name].method))
    budgets = table["arm"].map(lambda name: task.arms[name].regularizer in PROTECTS_LESS)
    table["protection"] = table["strength"].where(~budgets, 1 / table["strength"].where(budgets))
    table["key"] = candidate_keys(study, jobs, task.validation, task.general)
    if (found := recalled(table, "task_loss", "utility")) is not None:
        return found
    models = [model_folder(folder) for folder in train_all(study, jobs).values()]
    table["task_loss"] = task_losses(study, models, task.validation)
    if task.general is not None:
        before, *after = answered(study, [base, *models], task.general)
        table["utility"] = [share / before if before else 1.0 for share in after]
    return as_recalled(table)


def candidate_keys(study: Study, jobs: Mapping[Any, Job], *asked: Any) -> list[str]:
    """What decides each candidate's figures: its training, the questions, and how they are read."""
    code = [Code(example_logprobs).fingerprint(), Code(utility.answers).fingerprint()]
    given = [*map(study.store.digest, asked), code]
    return [study.store.digest([key, given])[:16] for key in planned(study, jobs)]


def recalled(table: pd.DataFrame, *figures: str) -> pd.DataFrame | None:
    """With `figures` out of the committed tables, by key; None if a candidate lacks the first."""
    tables = [pd.read_csv(path) for path in sorted(paths.FIGURES.glob("**/tables/*.csv"))
              if "key" in path.open(encoding="utf-8").readline().rstrip().split(",")]
    if not tables:
        return None
    known = pd.concat(tables).drop_duplicates("key").set_index("key")
    found = table.join(known.reindex(columns=[*figures]).astype(float), on="key")
    whole = found[figures[0]].notna().all()
    return found.dropna(axis="columns", how="all") if whole else None


def as_recalled(table: pd.DataFrame) -> pd.DataFrame:
    """Candidates as the committed table will have them, so that both lead to the same choice."""
    return table.map(lambda value: float(f"{value:.6g}") if isinstance(value, float) else value)


def task_losses(
    study: Study, folders: Iterable[Path], questions: Sequence[Example]
) -> list[float]:
    """Mean negative log-likelihood of the questions' answers, nats an answer, of each model."""
    frames = model_frames(study, "validation", folders, example_logprobs, questions)
    return [float(-frame["logprob"].mean()) for frame in frames]


def answered(study: Study, folders: Iterable[Path], asked: pd.DataFrame) -> list[float]:
    """Share of the questions (`lib.measures.utility.questions`) that each model answers rightly."""
    frames = model_frames(study, "utility", folders, utility.answers, asked)
    return [float(frame["correct"].mean()) for frame in frames]


def choose(table: pd.DataFrame, tolerance: float = 1.05) -> dict[str, dict[str, float]]:
    """Settings of each arm: the least validation loss, or the strongest penalty that is free.

    A penalty always costs some fit, so the least loss would choose the weakest. A candidate is
    *free* if its loss is within `tolerance` of the arm that bears its method's name (of the best
    plain one, if there is none): what else a profile tries must not move the choice. Of the free
    ones that keep utility, where measured, the **strongest** is taken.
    """
    plain, chosen = table[table["strength"] == 0], {}
    for name, rows in table.groupby("arm", sort=False):
        own = plain[plain["arm"] == rows["method"].iloc[0]]
        least = (own if len(own) else plain)["task_loss"].min()
        free = rows[(rows["strength"] > 0) & (rows["task_loss"] <= tolerance * least)]
        best = _strongest(free) if len(free) else rows.loc[rows["task_loss"].idxmin()]
        chosen[name] = {"learning_rate": float(best["learning_rate"]),
                        "strength": float(best["strength"])}
    return chosen


def _strongest(free: pd.DataFrame) -> pd.Series:
    if "utility" in free:
        enough = min(USEFUL, free["utility"].max())
        free = free[free["utility"] >= enough]
    strongest = free[free["protection"] == free["protection"].max()]
    return strongest.loc[strongest["task_loss"].idxmin()]


def candidate_rows(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The candidates as an exhibit's rows; ``n`` is the number of validation questions."""
    names = [f"step size {r:g}, strength {s:g}" if s else f"step size {r:g}"
             for r, s in table[["learning_rate", "strength"]].values]
    return table.assign(condition=names, metric="task_loss", value=table["task_loss"], bases=1,
                        runs=1, n=n, low=None, high=None)


def relative_runs(found: pd.DataFrame, metric: str, reference: str) -> pd.DataFrame:
    """A run table's values over those of a reference arm on the same base, under another name."""
    whole = found[found["arm"] == reference].groupby("base")["value"].mean()
    ratio = found["value"] / found["base"].map(whole)
    return found.assign(metric=metric, value=ratio, se=np.nan, df=np.nan, least=0.0, most=np.inf)
