"""The linear matrices of a model in training, by the names they have in saved folders."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lib.errors import InvalidValueError
from lib.models import weight_files

ADAPTER_PREFIX = "base_model.model."
"""What `peft` puts before the module names of the model that it wraps."""


class SavedWeights:
    """Tensors of a model folder, each read when asked for; never a whole model in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._files = folder, {}
        for file in weight_files(folder):
            with safe_open(file, "pt") as tensors:
                self._files |= dict.fromkeys(tensors.keys(), file)

    def read(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """The tensor of this name, on the device and in the dtype of another of its shape.

        Raises
        ------
        InvalidValueError
            No such tensor, or one of another shape.
        """
        found = "none"
        if name in self._files:
            with safe_open(self._files[name], "pt") as tensors:
                tensor = tensors.get_tensor(name).to(like)
            if tensor.shape == like.shape:
                return tensor
            found = f"{tuple(tensor.shape)}"
        raise InvalidValueError(
            f"a tensor {name} of shape {tuple(like.shape)} in {self.folder}",
            found,
            "name a folder with a model of the same architecture",
        )


@dataclass
class Matrix:
    """A matrix and its update; all results are (outputs, inputs), however it is stored.

    Attributes
    ----------
    layer : Module
        Linear layer, or the LoRA layer around one.
    start : Tensor
        The matrix at the base, as stored.
    """

    name: str
    layer: torch.nn.Module
    start: torch.Tensor

    def alignment(self, unaligned: SavedWeights) -> torch.Tensor:
        """What alignment did: the base's matrix minus the unaligned model's."""
        return self._outputs_first(self.start - unaligned.read(self.name, self.start))

    def update(self) -> torch.Tensor:
        """What training has done so far."""
        if _adapted(self.layer):
            return self._outputs_first(self.layer.get_delta_weight("default"))
        return self._outputs_first(self.layer.weight - self.start)

    def left_multiply(self, c: torch.Tensor) -> None:
        """Replace the update ``D`` by ``c D``."""
        if _adapted(self.layer):
            b = self.layer.lora_B["default"].weight
            b.copy_(c @ b)
        else:
            self.layer.weight.copy_(self.start + self._outputs_first(c @ self.update()))

    def _outputs_first(self, tensor: torch.Tensor) -> torch.Tensor:
        layer = self.layer.get_base_layer() if _adapted(self.layer) else self.layer
        return tensor.T if isinstance(layer, Conv1D) else tensor  # Conv1D stores W transposed


def matrices(model: PreTrainedModel) -> list[Matrix]:
    """The target matrices of an adapter; all linear matrices in a full run, which are copied.

    A head tied to the embedding is left out: its weights are not its own.
    """
    adapted = [
        Matrix(name.removeprefix(ADAPTER_PREFIX) + ".weight", layer,
               layer.get_base_layer().weight.detach())
        for name, layer in model.named_modules() if _adapted(layer)
    ]
    embedding = model.get_input_embeddings().weight
    return adapted or [
        Matrix(f"{name}.weight", layer, layer.weight.detach().clone())
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear | Conv1D) and layer.weight is not embedding
    ]


def _adapted(layer: torch.nn.Module) -> bool:
    return hasattr(layer, "get_delta_weight")
