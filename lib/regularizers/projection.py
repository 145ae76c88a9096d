"""Safe-direction projection: after training, keep of an update what alignment itself moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import InvalidValueError
from lib.finetune import Example, Penalty, Recipe, Regularizer
from lib.regularizers.matrices import Matrix, SavedWeights, matrices


@dataclass(frozen=True)
class Projection(Regularizer):
    """Trains plainly, then makes the update ``D`` of a matrix ``C D`` where ``cos <= threshold``.

    ``V = W_aligned - W_unaligned`` is what alignment did to the matrix, ``C = V V' / ||V||_F``,
    and ``cos`` the cosine of ``C D`` and ``D`` as vectors. For LoRA ``D = (alpha / rank) B A``
    and ``B`` becomes ``C B``. In a full run (our extension) ``D`` is the difference to the base,
    for every linear matrix with weights of its own that alignment moved; embeddings and norms
    stay as trained.

    ``C`` weighs directions by how far alignment moved along them, and is no projector. The exact
    one, ``V (V'V)^-1 V'``, is the identity for any ``V`` of full row rank and would do nothing.

    Attributes
    ----------
    unaligned : path
        Folder of the model before it learned to refuse; the base is the aligned one.
    threshold : float
        0 to 1; 0 leaves everything as trained, 1 projects every matrix.

    Raises
    ------
    InvalidValueError
        A threshold out of range. Before training starts: no such folder, one that lacks a
        matrix or has it in another shape, or one in which no matrix differs from the base's.

    Notes
    -----
    Hsu et al., *Safe LoRA*, NeurIPS 2024, arXiv 2405.16833; the paper's threshold is 0.35. Adds
    the figures ``projected`` and ``matrices`` (counts) and ``cosine`` (mean before projection).
    """

    unaligned: Path
    threshold: float = 0.35

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InvalidValueError(
                "a threshold from 0 to 1", str(self.threshold), "correct the regularizer"
            )
        object.__setattr__(self, "unaligned", Path(self.unaligned))

    @property
    def active(self) -> bool:
        """False at threshold zero."""
        return self.threshold > 0

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """Find the matrices that alignment moved."""
        saved = SavedWeights(self.unaligned)
        found = [m for m in matrices(model) if m.alignment(saved).any()]
        if not found:
            raise InvalidValueError(
                "an unaligned model whose matrices differ from the base's",
                f"none that does in {self.unaligned}",
                "name the model before its refusal training",
            )
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
