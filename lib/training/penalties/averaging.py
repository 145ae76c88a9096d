"""Weight averaging: no penalty at all, and a strong baseline for every penalty."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.models.chat import Tokens
from lib.training.objective import Penalty, Regularizer, check_share
from lib.training.recipe import Recipe


@dataclass(frozen=True)
class Averaging(Regularizer):
    """Trains plainly, then moves weights back: ``theta_0 + (1 - back) (theta - theta_0)``.

    Wortsman et al. (WiSE-FT), CVPR 2022, arXiv 2109.01903. For LoRA only ``B`` is scaled.
    """

    back: float = 0.5  # 0 to 1: 0 leaves what was trained, 1 is the base

    def __post_init__(self) -> None:
        check_share("back", self.back)

    @property
    def active(self) -> bool:
        """False where nothing is moved back."""
        return self.back > 0

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """Remember where the weights start."""
        return _MoveBack(moving(model), self.back)


@dataclass(frozen=True)
class MovingAverage(Regularizer):
    """Trains plainly; keeps ``average <- decay * average + (1 - decay) * theta`` from the base."""

    decay: float = 0.95  # 0 to 1: 0 keeps the last weights, near 1 stays at the base

    def __post_init__(self) -> None:
        check_share("decay", self.decay)

    @property
    def active(self) -> bool:
        """False at zero decay."""
        return self.decay > 0

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """The average starts at the base."""
        return _Trail(moving(model), self.decay)


def moving(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """Weights to average: all that move; of an adapter only ``B``, in which ``B A`` is linear."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    factors = [p for name, p in named if "lora_B" in name]
    return factors or [p for _, p in named]


class _MoveBack(Penalty):
    """Plain training; the weights move back towards their copies at the end."""

    def __init__(self, weights: list[torch.nn.Parameter], share: float) -> None:
        super().__init__()
        self.share = share
        self.pairs = [(weight, weight.detach().clone()) for weight in weights]

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Interpolate."""
        for weight, start in self.pairs:
            weight.lerp_(start, self.share)
        return {}


class _Trail(_MoveBack):
    """Plain training; the copies become an average, which replaces the weights at the end."""

    @torch.no_grad()
    def step(self, model: PreTrainedModel) -> None:
        """Take the weights in, as they are before this step's update."""
        for weight, average in self.pairs:
            average.lerp_(weight, 1 - self.share)

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Take the last weights in; the average is the result."""
        self.step(model)
        for weight, average in self.pairs:
            weight.copy_(average)
        return {}
