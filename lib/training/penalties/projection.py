"""Safe-direction projection: after training, keep of an update what alignment itself moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lib.errors import InvalidValueError, require
from lib.models.chat import Tokens
from lib.models.folders import weight_files
from lib.training.objective import Penalty, Regularizer, check_share
from lib.training.recipe import Recipe

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
        """The tensor of this name, on the device and in the dtype of another of its shape."""
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
    """A linear matrix in training and its update; results are (outputs, inputs)."""

    name: str  # as in saved folders
    layer: torch.nn.Module  # linear, or the LoRA layer around one
    start: torch.Tensor  # at the base, as stored

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
    """Target matrices of an adapter, or all linear ones but a head tied to the embedding."""
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


@dataclass(frozen=True)
class Projection(Regularizer):
    """Trains plainly, then makes the update ``D`` of a matrix ``C D`` where ``cos <= threshold``.

    ``V = W_aligned - W_unaligned`` is what alignment did to the matrix, ``C = V V' / ||V||_F``,
    and ``cos`` the cosine of ``C D`` and ``D`` as vectors. For LoRA ``D = (alpha / rank) B A``
    and ``B`` becomes ``C B``; in a full run (our extension) ``D`` is the difference to the base.

    ``C`` weighs directions by how far alignment moved along them, and is no projector. The exact
    one, ``V (V'V)^-1 V'``, is the identity for any ``V`` of full row rank and would do nothing.

    Hsu et al., *Safe LoRA*, NeurIPS 2024, arXiv 2405.16833. Figures: ``projected`` and
    ``matrices`` (counts), ``cosine`` (mean before projection).
    """

    unaligned: Path  # the model before it learned to refuse; the base is the aligned one
    threshold: float = 0.35  # 0 leaves everything as trained, 1 projects every matrix

    def __post_init__(self) -> None:
        check_share("threshold", self.threshold)
        object.__setattr__(self, "unaligned", Path(self.unaligned))

    @property
    def active(self) -> bool:
        """False at threshold zero."""
        return self.threshold > 0

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """Find the matrices that alignment moved."""
        saved = SavedWeights(self.unaligned)
        found = [m for m in matrices(model) if m.alignment(saved).any()]
        require(found, "an unaligned model whose matrices differ from the base's",
                f"none that does in {self.unaligned}", "name the model before its refusal training")
        return _AfterTraining(found, saved, self.threshold)


class _AfterTraining(Penalty):
    """Plain training; the update is changed at the end."""

    def __init__(self, found: list[Matrix], saved: SavedWeights, threshold: float) -> None:
        super().__init__()
        self.matrices, self.saved, self.threshold = found, saved, threshold

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Project the updates whose cosine is at most the threshold."""
        cosines = [self._project(matrix) for matrix in self.matrices]
        return {
            "projected": float(sum(cosine <= self.threshold for cosine in cosines)),
            "matrices": float(len(cosines)),
            "cosine": float(np.mean(cosines)),
        }

    def _project(self, matrix: Matrix) -> float:
        """Cosine of a matrix's update with its projection, which replaces it if that is low."""
        v, update = matrix.alignment(self.saved), matrix.update()
        c = v @ v.T / v.norm()
        cosine = functional.cosine_similarity((c @ update).flatten(), update.flatten(), dim=0)
        if cosine <= self.threshold:
            matrix.left_multiply(c)
        return cosine.item()
