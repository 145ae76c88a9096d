"""How far a model has drifted from its base: KL on anchors, some in each step."""

from collections import Counter
from contextlib import nullcontext

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import InvalidValueError
from lib.finetune import Example, Recipe
from lib.finetune.answers import packed_logprobs, scored_logprobs
from lib.finetune.batching import batch_plan
from lib.regularizers.anchors import drops_out, without_dropout

CACHE_BYTES = 2**30
"""Most memory for stored reference log-probabilities."""
TOGETHER = 16
"""Anchors in one pass without gradients."""
APART = 0.05
"""Most nats by which company in a packed row may seem to move an answer: bfloat16 rounds less."""


class AnchorDrift:
    """``KL(base || model)``, mean over the scored positions of some anchors, in nats.

    For one position, with vocabulary ``v``: ``sum_v p_base(v) (log p_base(v) - log p(v))``.

    The base's log-probabilities are computed once, as the run starts. Where they would take more
    than `CACHE_BYTES` (a large vocabulary), a LoRA run takes them anew each step from the same
    weights with the adapter switched off; a full run has no such way. There never is a second
    model.

    Parameters
    ----------
    model : PreTrainedModel
        The base, or a fresh adapter on it, in evaluation mode.
    anchors : sequence of Example
    per_step : int
        Anchors in each step. In every pass over the anchors each occurs once, kinds and lengths
        mixed.

    Raises
    ------
    InvalidValueError
        Reference log-probabilities that do not fit, in a full run; an architecture in which
        packed anchors see each other.
    """

    def __init__(
        self, model: PreTrainedModel, anchors: tuple[Example, ...], per_step: int, recipe: Recipe
    ) -> None:
        self.anchors = anchors
        alike = [1] * len(anchors)  # equal lengths: no buckets, so that a step mixes kinds
        self._batches = iter(batch_plan(alike, per_step, recipe.steps, recipe.seed))
        # The switch walks through all modules twice a step, so it is left out where it is idle.
        self._calm = without_dropout if drops_out(model) else nullcontext
        self._times = Counter(anchors)  # one that stands among them eight times counts eightfold
        self._reference: dict[Example, torch.Tensor] | None = None
        each = tuple(self._times)
        if _fits(model, each):
            self._reference = {each[i]: found for i, found in scored_logprobs(model, each)}
            self._check_apart(model, [*each[:TOGETHER]])

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Drift on the next step's anchors, differentiable; a scalar."""
        return self._kl(model, [self.anchors[i] for i in next(self._batches)]).mean()

    @torch.no_grad()
    def overall(self, model: PreTrainedModel) -> float:
        """Drift on all anchors."""
        each, total, positions = list(self._times), 0.0, 0
        for some in (each[i : i + TOGETHER] for i in range(0, len(each), TOGETHER)):
            times = torch.tensor([self._times[a] for a in some for _ in a.answer])
            total += float(self._kl(model, some).cpu() @ times.float())
            positions += int(times.sum())
        return total / positions

    @torch.no_grad()
    def _check_apart(self, model: PreTrainedModel, some: list[Example]) -> None:
        """The base must not drift from itself, as it would where positions do not part examples."""
        if (found := float(self._kl(model, some).max())) > APART:
            raise InvalidValueError(
                "an architecture that keeps apart the examples of a packed row, as GPT-2, Llama "
                "and Qwen do",
                f"a {model.config.model_type}, which drifts {found:.2g} nats from itself in one",
                "choose another base, or a regularizer without drift on anchors, such as Mixing",
            )

    def _kl(self, model: PreTrainedModel, some: list[Example]) -> torch.Tensor:
        """KL at each scored position, anchor after anchor."""
        with self._calm(model):
            if self._reference is None:
                with torch.no_grad(), model.disable_adapter():
                    reference = packed_logprobs(model, some)
            else:
                reference = torch.cat([self._reference[anchor] for anchor in some])
            logprobs = packed_logprobs(model, some)
        # torch names the tuned model first and the target, the base, second: KL(target || input).
        kl = functional.kl_div(logprobs, reference, log_target=True, reduction="none")
        return kl.sum(-1)


def _fits(model: PreTrainedModel, anchors: tuple[Example, ...]) -> bool:
    positions = sum(len(anchor.answer) for anchor in anchors)
    each = 4 * model.config.vocab_size
    if positions * each <= CACHE_BYTES:
        return True
    if hasattr(model, "disable_adapter"):
        return False
    raise InvalidValueError(
        f"at most {CACHE_BYTES // each} scored anchor positions for this vocabulary, "
        "as full fine-tuning must store the base's log-probabilities",
        str(positions),
        "give fewer or shorter anchors, or use LoRA",
    )
