"""How far weights have moved from the base, tensor by tensor."""

import torch
from transformers import PreTrainedModel


class Displacement:
    """``theta - theta_0`` of every weight that training moves, differentiable.

    For LoRA the moved weights are those of the **merged** model, ``(alpha / rank) B A`` of each
    target matrix, and not the factors: many factors make one matrix, and as ``B`` starts at zero
    the loss has no gradient in ``A`` there. Full fine-tuning keeps a copy of the weights at the
    start (of the numbers, not a model that could run); LoRA needs none.

    Attributes
    ----------
    weights : list of Parameter
        At the base: what moves in a full run, the target matrices under an adapter.
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
