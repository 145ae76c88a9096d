"""L2-SP: a spring from every weight to where it started."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.finetune import Example, Penalty, Recipe, Regularizer
from lib.regularizers.anchors import check_strength
from lib.regularizers.displacement import Displacement


@dataclass(frozen=True)
class L2SP(Regularizer):
    """Task loss plus ``strength / 2 * ||theta - theta_0||^2`` over all weights that move.

    For LoRA ``theta`` is the merged weight, so the norm is ``||(alpha / rank) B A||``. Value and
    gradient are zero at the base. No anchors: every direction costs the same, whatever it does
    to behaviour.

    Attributes
    ----------
    strength : float
        Nats of task loss per half squared unit of distance.

    Raises
    ------
    InvalidValueError
        A negative strength.

    Notes
    -----
    Li, Grandvalet & Davoine, *Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks*, ICML 2018, arXiv 1802.01483. Adds the figure ``distance``, the norm after training.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_strength("strength", self.strength)

    @property
    def active(self) -> bool:
        """False at zero strength."""
        return self.strength > 0

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """Where the weights start."""
        return _Spring(Displacement(model), self.strength)


class _Spring(Penalty):
    """The penalty of one run."""

    def __init__(self, displacement: Displacement, strength: float) -> None:
        super().__init__()
        self.displacement, self.strength = displacement, strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """``strength / 2`` times the squared distance."""
        return self.strength / 2 * self._squared()

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """The distance."""
        return {"distance": self._squared().sqrt().item()}

    def _squared(self) -> torch.Tensor:
        return sum(moved.square().sum() for moved in self.displacement.tensors())
