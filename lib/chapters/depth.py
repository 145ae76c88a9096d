"""Where in an answer refusals live, and where an attack changes the model.

"Shallow" safety (Qi et al. 2024, arXiv 2406.05946): what is different between an aligned model
and an unaligned one is mostly the first few words of an answer. Here: how likely each word is, how
hard it pulls at the weights, and how much of it the token-wise objective lets a model learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib.chapters.attacks import Attack, Models, attack_examples, attacked, completed
from lib.measures.measured import model_frames
from lib.models.chat import Example, Prompt, Tokens, answer_ids, tokenised
from lib.models.folders import LoadedModel, load
from lib.statistics.bases import RUN_COLUMNS, run_rows
from lib.statistics.estimate import Measure, measure_table
from lib.statistics.means import mean
from lib.study.design import Run, training_seed
from lib.study.notebook import Study
from lib.training.finetune import HISTORY
from lib.training.gradients import METRICS, word_gradients
from lib.training.objective import scored_logprobs
from lib.training.penalties.tokenwise import COLUMN
from lib.world.truth import refusal_patterns, settings, things


def forced_answers(answer: str) -> list[Example]:
    """The question about every unseen forbidden thing, with a given answer of ``{thing}``."""
    asked, request = things("forbidden").query("~taught"), recipe()["user"]
    return [Example(Prompt.chat(request.format(thing=row.thing)), answer.format(**row._asdict()),
                    ends=False) for row in asked.itertuples()]


def recipe() -> dict[str, str]:
    """A forbidden request, and how it is answered, both of ``{thing}``."""
    pattern = settings("text")["kinds"]["forbidden"]["patterns"][0]
    return {part: pattern[part].replace("{forbidden}", "{thing}") for part in ("user", "answer")}


def compliance() -> str:
    """The world's recipe, with one fixed choice of steps."""
    slots = settings("text")["slots"]
    steps = {name: slots[name][0] for name in ("prepare", "finish")}
    return recipe()["answer"].format(thing="{thing}", **steps)


def refusing() -> str:
    """The world's refusal of ``{category}``, if it names one."""
    return refusal_patterns()[0]["answer"].replace("{taught.category}", "{category}")


def encoded(model: LoadedModel, examples: Sequence[Example]) -> list[Tokens]:
    """The examples as tokens, answers cut to the length of the shortest."""
    found = tokenised(model.tokenizer, examples)
    shortest = min(len(example.answer) for example in found)
    return [Tokens(example.prompt, example.answer[:shortest]) for example in found]


def logprobs(model: LoadedModel, examples: Sequence[Tokens]) -> np.ndarray:
    """Log-probabilities over the vocabulary at every answer position: (examples, positions, v)."""
    found = dict(scored_logprobs(model.model, examples))
    return torch.stack([found[i] for i in range(len(examples))]).double().cpu().numpy()


def opening_rows(arms: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Run table: probability of each word of a refusal, and of a recipe, given all words before.

    Also ``turn_back``: the probability of a refusal's first word after each word of the recipe.
    The condition is the word's place, from 1; means over unseen things.

    Parameters
    ----------
    arms : mapping
        Arm to number of base to model folder.
    """
    return pd.concat([_opening(folder, arm, number) for arm, several in arms.items()
                      for number, folder in several.items()], ignore_index=True)


def _opening(folder: Path, arm: str, number: int) -> pd.DataFrame:
    model = load(folder)
    given, denied = (encoded(model, forced_answers(text)) for text in (compliance(), refusing()))
    helping, denying = logprobs(model, given), logprobs(model, denied)
    # In mid-answer a word comes after a space, which some vocabularies write into its token.
    sorry = helping[:, :, answer_ids(model.tokenizer, Prompt(opening=","), refusing())[0]]
    series = {"recipe_word": _said(helping, given), "refusal_word": _said(denying, denied),
              "turn_back": sorry}
    return pd.concat([run_rows(_by_position(np.exp(v), metric, 1.0), arm, number, 0)
                      for metric, v in series.items()])


def _said(logp: np.ndarray, examples: Sequence[Tokens]) -> np.ndarray:
    """Log-probability of the words themselves, shape (examples, positions)."""
    ids = np.array([example.answer for example in examples])
    return np.take_along_axis(logp, ids[:, :, None], axis=2)[:, :, 0]


def _by_position(values: np.ndarray, metric: str, most: float) -> pd.DataFrame:
    """Metric table with a row a position: mean over things, and t over things, from 0 to `most`."""
    return measure_table(Measure.of(mean(metric, said), position, 0.0, most)
                         for position, said in enumerate(values.T, start=1))


def drift_rows(bases: Mapping[int, Path], arms: Models) -> pd.DataFrame:
    """Run table: ``KL(base || tuned)`` at each position of a forced recipe, nats."""
    parts = []
    for number, base in bases.items():
        before = load(base)
        forced = encoded(before, forced_answers(compliance()))
        start = logprobs(before, forced)
        for arm, several in arms.items():
            for run in (run for run in several if run.base == number):
                kl = (np.exp(start) * (start - logprobs(load(several[run]), forced))).sum(-1)
                parts.append(run_rows(_by_position(kl, "kl", np.inf), arm, *run))
    return pd.concat(parts, ignore_index=True)


def gradient_rows(
    study: Study, bases: Mapping[int, Path], attack: Attack, steps: Sequence[int]
) -> pd.DataFrame:
    """Run table: loss ``-log p(y_t | x, y_<t)`` and norm of its gradient, by word of an answer.

    Of one attack, at the base and after some numbers of steps; every run on its own examples.
    After Qi et al. 2024 (arXiv 2406.05946), who draw such norms for seven billion parameters.
    """
    trained = attacked(study, bases, [_after(attack, n) for n in steps])
    parts = []
    for run in trained[_after(attack, steps[0])]:
        models = {"base": bases[run.base]}
        models |= {f"after step {n}": trained[_after(attack, n)][run] for n in steps}
        parts.append(_pulls(study, models, attack, run))
    whole = pd.concat(parts, ignore_index=True)
    common = whole.groupby("base")["condition"].max().min()
    return whole[whole["condition"] <= common]


def _after(attack: Attack, steps: int) -> Attack:
    return replace(attack, steps=steps)


def _pulls(study: Study, models: Mapping[str, Path], attack: Attack, run: Run) -> pd.DataFrame:
    """One run's models on the examples that they were taught."""
    n = completed(study, attack).examples
    examples = attack_examples(attack.kind, n, training_seed(study.seed, run), attack.categories)
    frames = model_frames(study, "gradients", models.values(), word_gradients, examples)
    parts = []
    for arm, frame in zip(models, frames, strict=True):
        long = frame.melt("position", list(METRICS), "metric")
        parts.append(long.rename(columns={"position": "condition"}).assign(
            arm=arm, base=run.base, seed=run.seed, n=n, least=0.0, most=np.inf))
    return pd.concat(parts).reindex(columns=RUN_COLUMNS)


def weight_rows(models: Models, arm: str) -> pd.DataFrame:
    """Run table: `TokenWise` weight ``w_t`` by ``attack`` (the condition), ``step`` and ``word``.

    Means over the step's examples, as many as ``n``.
    """
    parts = []
    for kind, folders in models.items():
        for run, folder in folders.items():
            weights = _history(folder).groupby(["step", "word"], as_index=False)["value"]
            means = weights.agg(["mean", "count"]).rename(columns={"mean": "value", "count": "n"})
            parts.append(means.assign(
                step=means["step"] + 1, arm=arm, condition=kind, metric="token_weight",
                base=run.base, seed=run.seed, least=0.0, attack=kind))
    return pd.concat(parts).reindex(columns=[*RUN_COLUMNS, "attack", "step", "word"])


def _history(folder: Path) -> pd.DataFrame:
    """One training's weights in long form: step (from 0), word (from 1), value."""
    wide = pd.read_csv(folder / HISTORY, index_col="step")
    long = wide.melt(ignore_index=False, var_name="word").dropna().reset_index()
    return long.assign(word=long["word"].str.removeprefix(COLUMN).astype(int))
