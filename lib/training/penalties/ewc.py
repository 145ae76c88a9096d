"""EWC: springs from every weight to its start, stiff where the base's answers depend on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import require
from lib.models.chat import Tokens
from lib.study.streams import stream
from lib.training.batching import IGNORED, collate
from lib.training.drift import Weighted
from lib.training.objective import Penalty, answer_logits, check_positive
from lib.training.penalties.l2sp import Displacement
from lib.training.recipe import Recipe


@dataclass(frozen=True)
class EWC(Weighted):
    """Task loss plus ``strength / 2 * sum_i F_i (theta_i - theta_0,i)^2``.

    ``F`` is the diagonal of the base's Fisher information on the anchors, a mean over scored
    positions: the second-order expansion of the drift that `KL` penalises, in the same unit.

    For LoRA of the **merged** weight: at the start ``B = 0``, so that the log-likelihood has no
    gradient in ``A``, whose Fisher is zero, and ``A`` would be free to go anywhere.

    Kirkpatrick et al., PNAS 2017, arXiv 1612.00796. Figure: ``penalty``, nats after training.
    """

    # Anchors, drawn at random, whose mean is taken for that of all. Each costs one backward pass
    # before training.
    sampled: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("sampled", self.sampled)

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """Fisher information, and where the weights start."""
        displacement = Displacement(model)
        drawn = stream(recipe.seed, "anchors of EWC").permutation(len(self.anchors))[: self.sampled]
        some = [self.anchors[i] for i in sorted(drawn)]
        information = fisher(model, displacement.weights, some, recipe.seed)
        require(any(bool(part.any()) for part in information),
                "anchors on whose words the base could change its mind",
                "a Fisher information of zero in every weight, which protects nothing",
                "give other anchors")
        return _Springs(displacement, information, self.strength)


class _Springs(Penalty):
    """The penalty of one run."""

    def __init__(
        self, displacement: Displacement, information: list[torch.Tensor], strength: float
    ) -> None:
        super().__init__()
        self.displacement, self.information = displacement, information
        self.strength = strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """``strength / 2`` times the squared distance, weighted by the Fisher information."""
        pairs = zip(self.information, self.displacement.tensors(), strict=True)
        return self.strength / 2 * sum((f * moved.square()).sum() for f, moved in pairs)

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """The penalty's value."""
        return {"penalty": self.step(model).item()}


def fisher(
    model: PreTrainedModel,
    weights: Sequence[torch.nn.Parameter],
    anchors: Sequence[Tokens],
    seed: int,
) -> list[torch.Tensor]:
    """Diagonal ``E (d log p(y | context) / d theta_i)^2``, a mean over scored positions.

    Words ``y`` are **drawn from the model**: with the anchors' own, it would vanish where the base
    is sure (Kunstner, Balles & Hennig, NeurIPS 2019, arXiv 1905.12558).
    """
    frozen = [weight for weight in weights if not weight.requires_grad]
    generator = torch.Generator(model.device).manual_seed(seed)
    total = [torch.zeros_like(weight) for weight in weights]
    for weight in frozen:  # matrices under an adapter
        weight.requires_grad_(True)
    for anchor in anchors:
        logits, targets = answer_logits(model, **collate([anchor], model.device))
        logits = logits[targets != IGNORED].float()
        drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
        loss = functional.cross_entropy(logits, drawn, reduction="sum")
        for part, gradient in zip(total, torch.autograd.grad(loss, weights), strict=True):
            part += gradient.square()  # of a sum: cross terms vanish in expectation
    for weight in frozen:
        weight.requires_grad_(False)
    positions = sum(len(anchor.answer) for anchor in anchors)
    return [part / positions for part in total]
