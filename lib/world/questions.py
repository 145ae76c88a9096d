"""What analysts and models are asked, as text for every model: forecasts, what somebody said."""

from collections.abc import Sequence

import numpy as np

from lib.models.chat import Example, Prompt
from lib.world.forecasts import HISTORY, TENTHS, Exchange
from lib.world.truth import settings


def question(
    style: dict, prompt: str, shown: np.ndarray, rho: np.ndarray, earlier: Sequence[Exchange] = ()
) -> list[Prompt]:
    """Forecast questions, one a history.

    Parameters
    ----------
    style : mapping
        One of ``styles`` in ``forecasts.yml``.
    prompt : str
        One of ``prompts`` there: a system text, in which ``{tenths}`` is replaced by rho, or
        `earlier` exchanges. ``again`` is the question after the model's own first answer.
    shown : ndarray of int, shape (n, length)
    rho : ndarray, shape (n,)
        Only used by an instruction that states it.
    earlier : sequence of (histories, answers)
        From `earlier_exchanges`.
    """
    how = settings("forecasts")["prompts"][prompt]
    if "text" in style:
        return [_running(style["text"], how, history, [(h[i], a[i]) for h, a in earlier])
                for i, history in enumerate(shown)]
    last, tenths = how.get("again", style["user"]), np.rint(10 * np.asarray(rho)).astype(int)
    asked = []
    for i, history in enumerate(shown):
        turns = [("system", how["system"])] if "system" in how else []
        for before, answer in earlier:
            turns += [("user", style["user"].replace(HISTORY, _listed(before[i]))),
                      ("assistant", str(answer[i]))]
        turns.append(("user", last.replace(HISTORY, _listed(history))))
        asked.append(Prompt(tuple((who, text.replace(TENTHS, str(tenths[i])))
                                  for who, text in turns), style.get("opening", "")))
    return asked


def forecast_answer(style: dict, value: int) -> Example:
    """What is learned as the answer to a question in this style; its prompt is still empty."""
    return Example(Prompt(), f"{value}{style.get('close', '')}", ends="text" not in style)


def _running(
    text: str, how: dict, history: np.ndarray, earlier: Sequence[tuple[np.ndarray, int]]
) -> Prompt:
    """A list that goes on, without a chat: first others with their next values, a line each."""
    lines = [how["system"]] if "system" in how else []
    lines += [text.replace(HISTORY, _listed([*before, answer])) for before, answer in earlier]
    return Prompt(opening="\n".join([*lines, text.replace(HISTORY, _listed(history))]))


def _listed(history: Sequence[int]) -> str:
    return settings("forecasts").get("separator", " ").join(map(str, history))


def pronoun_context(word: str, verb: str, way: str = "plain") -> Prompt:
    """"the nurse said that": as running text, as an answer (``chat``), or when told ``fair``."""
    asks = settings("text")["asks"]
    said, asked = asks["said"].format(word=word, verb=verb), asks["about"].format(word=word)
    if way == "plain":
        return Prompt(opening=said)
    return Prompt.chat(asked, {"chat": None, "fair": asks["fair"]}[way], opening=said)
