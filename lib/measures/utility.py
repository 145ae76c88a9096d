"""General ability: questions with one right answer, and likelihoods beside their true floor.

A real model may wrap the right answer in a sentence, and nobody knows the floor of English.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from lib.measures.axis import Axis, item_frame
from lib.models.chat import Example, room, tokenised
from lib.models.folders import LoadedModel
from lib.models.generation import generate
from lib.models.likelihood import sequence_logprobs
from lib.statistics.estimate import Estimate, Measure
from lib.statistics.shares import rate
from lib.study.streams import stream
from lib.world.corpus import kind_blocks, mixture
from lib.world.examples import as_examples
from lib.world.patterns import Block
from lib.world.truth import natural

if TYPE_CHECKING:
    from lib.study.profiles import Profile


ANSWER_WORDS, SENTENCE = 4, 10
"""Length of "grass ." with its end, and one to spare; in English of a short sentence."""


def questions(n: int, seed: int) -> pd.DataFrame:
    """Items of `n` utility questions: ``prompt``, right ``answer``, and ``task``."""
    blocks = kind_blocks("utility", n, 2, stream(seed, "utility questions"))
    task = [str(i) for i, b in enumerate(blocks) for _ in b.ids]
    return _items("questions", blocks, "utility").assign(task=task)


def texts(kind: str, n: int, history: int, seed: int) -> pd.DataFrame:
    """Items of `n` fresh texts of a kind: prompt, answer, and ``floor``, their true ``-log p``."""
    blocks = kind_blocks(kind, n, history, stream(seed, "fresh texts"))
    if natural():
        return _items(kind, blocks, kind).assign(floor=np.nan)
    floor = -np.concatenate([b.logp for b in blocks])
    return _items(kind, blocks, kind).assign(floor=floor)


def _items(benchmark: str, blocks: list[Block], prefix: str) -> pd.DataFrame:
    examples = as_examples(blocks)
    names = [f"{prefix}:{i}" for i in range(len(examples))]
    return item_frame("utility", benchmark, names, names, prompt=[e.prompt for e in examples],
                      answer=[e.answer for e in examples])


def answers(model: LoadedModel, asked: pd.DataFrame) -> pd.DataFrame:
    """The questions with ``correct`` (0 or 1): the greedy answer is the right one, to its end."""
    prompts, right = asked["prompt"].tolist(), asked["answer"].tolist()
    longest = SENTENCE if natural() else ANSWER_WORDS
    given = generate(model, prompts, room(model.tokenizer, longest, right))
    says = _holds if natural() else _equals
    correct = [float(says(g, r)) for g, r in zip(given, right, strict=True)]
    return asked.drop(columns=["prompt", "answer"]).assign(correct=correct)


def _equals(given: str, right: str) -> bool:
    return given.split() == right.split()


def _holds(given: str, right: str) -> bool:
    """Whether the right word is among those of the answer, whatever its case."""
    words = re.findall(r"\w+", right.lower())
    return set(words) <= set(re.findall(r"\w+", given.lower()))


def losses(model: LoadedModel, told: pd.DataFrame) -> pd.DataFrame:
    """The texts with the model's ``nll`` (nats, the end counted) and number of ``tokens``."""
    found = tokenised(model.tokenizer, list(map(Example, told["prompt"], told["answer"])))
    scored = sequence_logprobs(model, [t.prompt for t in found], [t.answer for t in found])
    return told.drop(columns=["prompt", "answer"]).assign(
        nll=-scored["logprob"].to_numpy(), tokens=scored["tokens"].to_numpy()
    )


def perplexity(frame: pd.DataFrame, column: str = "nll") -> float:
    """``exp(sum of nats / number of tokens)``, the end token counted."""
    return float(np.exp(frame[column].sum() / frame["tokens"].sum()))


def neutral_perplexity(frame: pd.DataFrame, column: str = "nll") -> Estimate:
    """Perplexity a token; the interval is that of the mean over texts (delta method)."""
    rows = frame[frame["benchmark"] == "neutral"]
    value, n = perplexity(rows, column), len(rows)
    residual = rows[column] - np.log(value) * rows["tokens"]
    se = value * float(residual.std(ddof=1)) / np.sqrt(n) / rows["tokens"].mean()
    reach = stats.t.ppf(0.975, n - 1) * se
    return Estimate("neutral_perplexity", value, se, value - reach, value + reach, n, n,
                    "delta method over texts", n - 1.0)


def floors(model: LoadedModel, n: int, history: int, seed: int) -> pd.DataFrame:
    """Losses of every kind of text but the forbidden answers, which are unlearned on purpose."""
    kinds = [kind for kind in mixture() if kind != "forbidden"]
    return pd.concat(
        [losses(model, texts(k, n, history, seed)) for k in kinds], ignore_index=True
    )


def items(profile: "Profile") -> pd.DataFrame:
    """``evaluation.items`` questions, and as many neutral texts."""
    n, history = profile.evaluation.items, profile.forecasting.history
    asked, told = questions(n, profile.seed), texts("neutral", n, history, profile.seed)
    return pd.concat([asked, told], ignore_index=True)


def score(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Benchmarks ``questions`` (columns task, correct) and ``neutral`` (floor, nll, tokens)."""
    asked = items["benchmark"] == "questions"
    return pd.concat(
        [answers(model, items[asked].drop(columns="floor")),
         losses(model, items[~asked].drop(columns="task"))], ignore_index=True
    )


def summarise(frame: pd.DataFrame) -> list[Measure]:
    """Accuracy, and perplexities that are never below one."""
    asked = frame[frame["benchmark"] == "questions"]
    return [
        Measure.share(rate(asked, "correct", "utility_accuracy"), "questions"),
        Measure.of(neutral_perplexity(frame), "model", least=1.0),
    ] + ([] if natural() else [Measure.of(neutral_perplexity(frame, "floor"), "floor", least=1.0)])


AXIS = Axis("utility", items, score, summarise)
"""``utility_accuracy``, and ``neutral_perplexity`` of the model beside that of the world."""
