"""What holds a tuned model near its base: one small class each, for `lib.finetune.finetune`."""

from lib.regularizers.adaptive import AdaptiveKL
from lib.regularizers.anchors import text_anchors
from lib.regularizers.averaging import Averaging, MovingAverage
from lib.regularizers.ewc import EWC
from lib.regularizers.kl import KL
from lib.regularizers.l2sp import L2SP
from lib.regularizers.mixing import Mixing
from lib.regularizers.projection import Projection
from lib.regularizers.tokenwise import DEEP, TokenWise

__all__ = [
    "DEEP",
    "EWC",
    "KL",
    "L2SP",
    "AdaptiveKL",
    "Averaging",
    "Mixing",
    "MovingAverage",
    "Projection",
    "TokenWise",
    "text_anchors",
]
