"""Anchors, texts on which a tuned model should still speak like its base, and how far it drifted.

The positions of an anchor's answer are scored from the **first** answer token on: it decides
between refusal and compliance.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import InvalidValueError, require
from lib.models.chat import Example, Tokens, tokenised
from lib.models.folders import LoadedModel
from lib.training.batching import mixed_plan
from lib.training.objective import Regularizer, check_strength, packed_logprobs, scored_logprobs
from lib.training.recipe import Recipe, check_examples


@dataclass(frozen=True)
class Anchored(Regularizer):
    """A regulariser with anchors: text, which `encoded` makes into `Tokens`."""

    anchors: Sequence[Example] | Sequence[Tokens]

    def __post_init__(self) -> None:
        require(self.anchors, "at least one anchor", "none, which protects nothing",
                "give some, or leave the regularizer out")
        object.__setattr__(self, "anchors", tuple(self.anchors))

    def encoded(self, loaded: LoadedModel) -> Regularizer:
        """Anchors as the model's own tokens; refuses one of which nothing would be scored."""
        anchors = tokenised(loaded.tokenizer, self.anchors)
        check_examples(anchors, loaded.model, "anchor")
        return replace(self, anchors=anchors)


@dataclass(frozen=True)
class Weighted(Anchored):
    """Anchors with a fixed strength; at zero nothing is computed."""

    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength("strength", self.strength)

    @property
    def active(self) -> bool:
        """False at zero strength."""
        return self.strength > 0


def drops_out(model: PreTrainedModel) -> bool:
    """Whether training mode changes what a model says: some rate of dropout is not zero."""
    rates = [layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout)]
    rates += [value for name, value in model.config.to_dict().items() if "drop" in name]
    return any(rates)


@contextmanager
def without_dropout(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode inside; with dropout even the base would drift from itself."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


CACHE_BYTES = 2**30
"""Most memory for stored reference log-probabilities."""
TOGETHER = 16
"""Anchors in one pass without gradients."""
APART = 0.05
"""Most nats by which company in a packed row may seem to move an answer: bfloat16 rounds less."""


class AnchorDrift:
    """``KL(base || model) = sum_v p_base(v) (log p_base(v) - log p(v))``, nats a position."""

    def __init__(
        self, model: PreTrainedModel, anchors: tuple[Tokens, ...], per_step: int, recipe: Recipe
    ) -> None:
        self.anchors = anchors
        self._batches = iter(mixed_plan(len(anchors), per_step, recipe.steps, recipe.seed))
        # The switch walks through all modules twice a step, so it is left out where it is idle.
        self._calm = without_dropout if drops_out(model) else nullcontext
        self._times = Counter(anchors)  # one that stands among them eight times counts eightfold
        self._reference: dict[Tokens, torch.Tensor] | None = None
        each = tuple(self._times)
        # Otherwise taken anew each step from the same weights, with the adapter switched off.
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
    def _check_apart(self, model: PreTrainedModel, some: list[Tokens]) -> None:
        """The base must not drift from itself, as it would where positions do not part examples."""
        found = float(self._kl(model, some).max())
        require(found <= APART, "an architecture that keeps apart the examples of a packed row, as "
                "GPT-2, Llama and Qwen do",
                f"a {model.config.model_type}, which drifts {found:.2g} nats from itself in one",
                "choose another base, or a regularizer without drift on anchors, such as Mixing")

    def _kl(self, model: PreTrainedModel, some: list[Tokens]) -> torch.Tensor:
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


def _fits(model: PreTrainedModel, anchors: tuple[Tokens, ...]) -> bool:
    """Whether reference log-probabilities can be stored, or at least need not be."""
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
