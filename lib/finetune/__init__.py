"""Move weights: full or LoRA fine-tuning, plain or regularised, one job or many side by side.

``transformers.Trainer`` underneath, with what makes it slow on short sequences taken out.
"""

from lib.finetune.jobs import Job, finetune_many
from lib.finetune.recipe import Example, Recipe
from lib.finetune.regularizer import Penalty, Regularizer
from lib.finetune.training import finetune, trainable_share

__all__ = [
    "Example",
    "Job",
    "Penalty",
    "Recipe",
    "Regularizer",
    "finetune",
    "finetune_many",
    "trainable_share",
]
