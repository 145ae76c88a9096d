"""Which of two answers a judge prefers when it is asked, in both orders."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.measures.axis import item_frame
from lib.models.chat import Prompt, answer_ids
from lib.models.folders import LoadedModel
from lib.models.likelihood import next_token_logprobs
from lib.study.streams import stream

QUESTION = """Here are a request and two answers to it.

Request: {request}

Answer 1: {first}

Answer 2: {second}

Which answer is better? Say 1 or 2."""
PLACES = ("1", "2")


def preferences(
    judge: LoadedModel, asked: pd.DataFrame, given: Sequence[str], other: Sequence[str]
) -> pd.DataFrame:
    """Item frame: chances that the judge takes the given answer, standing ``first``, ``second``.

    Of the two replies *1* and *2* alone. The judge is not told who wrote what (Zheng et al. 2023,
    arXiv 2306.05685, who also ask in both orders).
    """
    heads = [prompt.messages[-1][1] for prompt in asked["prompt"]]
    shown = {"first": zip(heads, given, other, strict=True),
             "second": zip(heads, other, given, strict=True)}
    chances = {place: _takes_first(judge, [_question(*texts) for texts in several])
               for place, several in shown.items()}
    return item_frame("quality", "preferences", list(asked["item"]), list(asked["kind"]),
                      first=chances["first"], second=1 - chances["second"])


def _question(request: str, first: str, second: str) -> Prompt:
    return Prompt.chat(QUESTION.format(request=request, first=first, second=second))


def _takes_first(judge: LoadedModel, questions: Sequence[Prompt]) -> np.ndarray:
    replies = [answer_ids(judge.tokenizer, questions[0], place)[0] for place in PLACES]
    one, two = next_token_logprobs(judge, questions, replies).T
    return 1 / (1 + np.exp(two - one))


def shuffled(answers: Sequence[str], seed: int) -> list[str]:
    """The same words in another order: answers of which everybody knows that they are worse."""
    rng = stream(seed, "shuffled words")
    return [" ".join(rng.permutation(text.split())) for text in answers]
