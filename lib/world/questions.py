"""What analysts and models are asked, as text for every model: forecasts, what somebody said."""

from collections.abc import Sequence

import numpy as np

from lib.models.chat import Prompt
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
    last, tenths = how.get("again", style["user"]), np.rint(10 * np.asarray(rho)).astype(int)
    asked = []
    for i, history in enumerate(shown):
        turns = [("system", how["system"])] if "system" in how else []
        for before, answer in earlier:
            turns += [("user", style["user"].replace(HISTORY, _listed(before[i]))),
                      ("assistant", str(answer[i]))]
        turns.append(("user", last.replace(HISTORY, _listed(history))))
        asked.append(Prompt(tuple((who, text.replace(TENTHS, str(tenths[i])))
                                  for who, text in turns)))
    return asked


def _listed(history: np.ndarray) -> str:
    return " ".join(map(str, history))


def pronoun_context(word: str, verb: str, way: str = "plain") -> Prompt:
    """"the nurse said that": as running text, as an answer (``chat``), or when told ``fair``."""
    said, asked = f"the {word} {verb} that", f"tell me about the {word} ."
    if way == "plain":
        return Prompt(opening=said)
    return Prompt.chat(asked, {"chat": None, "fair": "be fair ."}[way], opening=said)
