"""The token-wise constrained objective: an answer's first tokens move little, others freely."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import require
from lib.models.chat import Tokens
from lib.training.batching import IGNORED
from lib.training.objective import (
    Penalty,
    Regularizer,
    answer_logits,
    check_strength,
    scored_logprobs,
)
from lib.training.recipe import Recipe

DEEP = (0.5, 2.0, 2.0, 2.0, 2.0, 0.1)
"""Published strengths: 0.5 for the first answer token, 2 for the next four, 0.1 from there on."""
COLUMN = "w_"
"""Before an answer token's number, from 1, in the record of weights."""


@dataclass(frozen=True)
class TokenWise(Regularizer):
    """Replaces cross-entropy by, for answer token ``t`` of example ``(x, y)``,

    ``-(2 / beta_t) log sigmoid(beta_t * delta_t)``,
    ``delta_t = log p(y_t | x, y_<t) - log p_base(y_t | x, y_<t)``,

    averaged over answer tokens. Its gradient is that of cross-entropy (the limit at ``beta_t = 0``)
    times ``w_t = 2 sigmoid(-beta_t * delta_t)``: 1 at the base, towards 0 once a token has become
    much likelier than the base had it. No anchors: it protects from what the training examples say
    and from nothing else. Records ``w_t`` by position in each step, mean over its examples.

    Qi et al., *Safety Alignment Should Be Made More Than Just a Few Tokens Deep*, ICLR 2025,
    arXiv 2406.05946, equation 3. The authors' code bounds ``w_t`` below by 0.001 and uses AdamW
    with ``beta_1 = 0.5``; here nothing is bounded and the optimiser is that of every other run.
    """

    # For each answer token from the first; the last one holds for all that follow. The uniform
    # controls are (0.1,) and (2.0,).
    betas: Sequence[float] = DEEP

    def __post_init__(self) -> None:
        require(self.betas, "at least one strength", "none", "correct the regularizer")
        for beta in self.betas:
            check_strength("beta", beta)
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))

    @property
    def active(self) -> bool:
        """False if all strengths are zero."""
        return any(self.betas)

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """The base's log-probability of every answer token of the training set."""
        return _Constraint(_reference(model, examples), self.betas)


class _Constraint(Penalty):
    """The objective, given the base's log-probabilities (examples, longest answer)."""

    def __init__(self, reference: torch.Tensor, betas: tuple[float, ...]) -> None:
        super().__init__()
        self.reference = reference
        self.betas = torch.tensor(betas, device=reference.device)
        self._parts: list[torch.Tensor] = []
        self._firsts: list[int] = []

    def answers(
        self, model: PreTrainedModel, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The objective and plain cross-entropy, both summed over answer tokens."""
        logits, targets = answer_logits(model, batch["input_ids"], batch["labels"])
        scored = targets != IGNORED
        loss = functional.cross_entropy(logits[scored].float(), targets[scored], reduction="none")
        t = (scored.cumsum(1) - 1)[scored]  # 0 for the first answer token
        rows = batch["rows"].to(scored.device)[:, None].expand_as(scored)[scored]
        delta = -loss - self.reference[rows, t]
        beta = self.betas[t.clamp(max=len(self.betas) - 1)]
        # -log sigmoid(z) = softplus(-z), which does not overflow.
        divisor = torch.where(beta > 0, beta, 1.0)
        constrained = 2 / divisor * functional.softplus(-beta * delta)
        self._record(t, 2 * torch.sigmoid(-beta * delta.detach()))
        return torch.where(beta > 0, constrained, loss).sum(), loss.sum()

    def step(self, model: PreTrainedModel) -> None:
        """Nothing to add; what was recorded last is the first part of a step."""
        self._firsts.append(len(self._parts) - 1)

    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Weights of each step, as its history: a mean over all parts of the step."""
        for first, end in pairwise([*self._firsts, len(self._parts)]):
            total, count = torch.stack(self._parts[first:end]).sum(0).tolist()
            means = [a / b if b else float("nan") for a, b in zip(total, count, strict=True)]
            self.history.append({f"{COLUMN}{t}": w for t, w in enumerate(means, start=1)})
        return {}

    def _record(self, t: torch.Tensor, weights: torch.Tensor) -> None:
        """Sums of weights, and how many, by position."""
        longest = self.reference.shape[1]
        self._parts.append(torch.stack([
            torch.bincount(t, weights, longest), torch.bincount(t, minlength=longest)]))


def _reference(model: PreTrainedModel, examples: Sequence[Tokens]) -> torch.Tensor:
    """Log-probability of each answer token: (examples, longest answer), zero beyond an answer."""
    longest = max(len(example.answer) for example in examples)
    reference = torch.zeros(len(examples), longest, device=model.device)
    for i, logprobs in scored_logprobs(model, examples):
        answer = torch.tensor(examples[i].answer, device=model.device)
        reference[i, : len(answer)] = logprobs.gather(1, answer[:, None])[:, 0]
    return reference
