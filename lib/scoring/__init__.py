"""The fast core: what a model thinks of given tokens, without sampling where possible.

All functions take a `lib.models.LoadedModel` and prompts as token ids. Prompts are scored in
batches of like length; results come in input order and do not depend on the batch's company
(to float32 rounding, tested at 1e-5).
"""

from lib.scoring.generation import generate
from lib.scoring.likelihood import next_token_logprobs, sequence_logprobs
from lib.scoring.numbers import number_distribution, predictive_mean
from lib.scoring.states import answer_states

__all__ = [
    "answer_states",
    "generate",
    "next_token_logprobs",
    "number_distribution",
    "predictive_mean",
    "sequence_logprobs",
]
