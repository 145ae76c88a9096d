"""The correction of extrapolation bias: rational answers, taught by several arms.

`labels` writes the training sets, `arms` declares and trains, `selection` chooses on validation
items, `checks` proves that a merged model is its adapter and costs nothing.
"""

from lib.correction.arms import ablations, corrections
from lib.correction.checks import latency, merged_gap
from lib.correction.labels import UNSEEN_STYLE, training_examples
from lib.correction.selection import candidates, choose

__all__ = [
    "UNSEEN_STYLE",
    "ablations",
    "candidates",
    "choose",
    "corrections",
    "latency",
    "merged_gap",
    "training_examples",
]
