"""L2-SP: a spring from every weight to where it started."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.models.chat import Tokens
from lib.training.objective import Penalty, Regularizer, check_strength
from lib.training.recipe import Recipe


class Displacement:
    """``theta - theta_0`` of every weight that moves, differentiable; for LoRA of merged weights.

    Not of the factors: many make one matrix, and as ``B`` starts at zero the loss has no gradient
    in ``A`` there.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._layers = adapted_layers(model)
        if self._layers:
            self.weights = [layer.get_base_layer().weight for layer in self._layers]
        else:
            self.weights = [p for p in model.parameters() if p.requires_grad]
            self._start = [p.detach().clone() for p in self.weights]

    def tensors(self) -> list[torch.Tensor]:
        """Each weight's displacement, in the shape and order of `weights`."""
        if self._layers:
            return [layer.get_delta_weight("default") for layer in self._layers]
        return [p - start for p, start in zip(self.weights, self._start, strict=True)]


def adapted_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Modules with a LoRA update; none in a full run."""
    return [module for module in model.modules() if hasattr(module, "get_delta_weight")]


@dataclass(frozen=True)
class L2SP(Regularizer):
    """Task loss plus ``strength / 2 * ||theta - theta_0||^2`` over all weights that move.

    For LoRA ``theta`` is the merged weight, so the norm is ``||(alpha / rank) B A||``. No anchors:
    every direction costs the same, whatever it does to behaviour.

    Li, Grandvalet & Davoine, ICML 2018, arXiv 1802.01483. Figure: ``distance``, the norm.
    """

    strength: float = 1.0  # nats of task loss per half squared unit of distance

    def __post_init__(self) -> None:
        check_strength("strength", self.strength)

    @property
    def active(self) -> bool:
        """False at zero strength."""
        return self.strength > 0

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
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
