"""BLiMP: did debiasing erase grammatical gender, or other grammar? (Warstadt et al. 2020)

*Katherine can't help herself* must stay likelier than *... himself*: agreement is not a stereotype.
"""

import pandas as pd

from lib.axes.gender.sentences import table_logprobs
from lib.axes.items import item_frame
from lib.models import LoadedModel


def score(
    model: LoadedModel, pairs: pd.DataFrame, paradigm: str = "anaphor_gender_agreement"
) -> pd.DataFrame:
    """Item frame with log-likelihoods ``good`` and ``bad`` (nats) and ``correct`` (0 or 1).

    Parameters
    ----------
    pairs : DataFrame
        From `lib.datasets.blimp.minimal_pairs`; `paradigm` becomes the benchmark's name.

    Notes
    -----
    Whole sentences after the start token, summed, as in lm-evaluation-harness. A tie is wrong.
    """
    logprobs, _ = table_logprobs(model, pairs[["good", "bad"]])
    names = list(pairs["item"])
    frame = item_frame(
        "gender", f"blimp_{paradigm}", names, names, good=logprobs["good"].to_numpy(),
        bad=logprobs["bad"].to_numpy(),
    )
    return frame.assign(correct=(frame["good"] > frame["bad"]).astype(float))
