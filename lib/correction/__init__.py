"""The correction of extrapolation bias: rational answers, taught by several arms.

`labels` writes the training sets, `arms` states the task for `lib.interventions`, `checks` proves
that a merged model is its adapter and costs nothing.
"""

from lib.correction.arms import ablations, correction_task
from lib.correction.checks import latency, merged_gap
from lib.correction.labels import UNSEEN_STYLE, training_examples

__all__ = [
    "UNSEEN_STYLE",
    "ablations",
    "correction_task",
    "latency",
    "merged_gap",
    "training_examples",
]
