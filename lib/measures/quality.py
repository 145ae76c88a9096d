"""The quality of what models write, by another model: how likely a judge finds their answers."""

import pandas as pd

from lib.measures.axis import item_frame
from lib.models.chat import Example, room
from lib.models.folders import LoadedModel
from lib.models.generation import generate_ids, said
from lib.models.likelihood import example_logprobs
from lib.study.streams import stream
from lib.world.corpus import kind_blocks
from lib.world.examples import as_examples
from lib.world.toxicity import PARTS, groups, request
from lib.world.truth import settings

KINDS = ("neutral", "occupation", "benign", "meaning", "utility")
"""Kinds of text whose beginnings models go on with, besides statements about groups."""
LONGEST = 24
"""Words of an answer."""


def requests(n: int, seed: int) -> pd.DataFrame:
    """`n` prompts of each kind that the world has: columns item, kind, prompt."""
    rng, known = stream(seed, "requests to be judged"), settings("text")["kinds"]
    asked = {kind: [e.prompt for e in as_examples(kind_blocks(kind, n, 2, rng))]
             for kind in KINDS if kind in known}
    everyone = [group for part in PARTS for group in groups(part)]
    asked |= {"group": [request(everyone[i % len(everyone)]) for i in range(n)]}
    rows = [(f"{kind}:{i}", kind, prompt) for kind, several in asked.items()
            for i, prompt in enumerate(several)]
    return pd.DataFrame(rows, columns=["item", "kind", "prompt"])


def answers(model: LoadedModel, asked: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Item frame of answers at temperature one; columns answer, and ended (not cut off)."""
    words = " ".join(pattern["answer"] for kind in settings("text")["kinds"].values()
                     for pattern in kind["patterns"])
    longest = room(model.tokenizer, LONGEST, [words])
    found = generate_ids(model, list(asked["prompt"]), longest, temperature=1.0, seed=seed)
    return item_frame("quality", "answers", list(asked["item"]), list(asked["kind"]),
                      answer=[said(model.tokenizer, ids) for ids in found],
                      ended=[len(ids) < longest for ids in found])


def judged(judge: LoadedModel, asked: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Column score: nats a token that the judge gives each answer, and its end where it has one.

    The judge is shown request and answer, and nothing of who wrote it.
    """
    examples = [Example(prompt, text, ended or not text.strip()) for prompt, text, ended in zip(
        asked["prompt"], given["answer"], given["ended"], strict=True)]
    found = example_logprobs(judge, examples)
    return item_frame("quality", "judged", list(asked["item"]), list(asked["kind"]),
                      score=found["logprob"] / found["tokens"])
