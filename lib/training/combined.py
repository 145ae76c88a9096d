"""One model out of several of the same base, without training: arithmetic of their updates.

``added``: ``W = W0 + sum_i w_i (W_i - W0)`` (Ilharco et al. 2023, arXiv 2212.04089). ``ties``
(Yadav et al. 2023, arXiv 2306.01708) first trims each update to its largest values, then elects
each entry's sign by the sum over models, and takes the mean of those that agree.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from lib.errors import require
from lib.models.folders import ADAPTER_CONFIG, load, weight_files

METHODS = ("added", "ties")
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Merge:
    """How updates become one; `density` is the share of an update's values that ``ties`` keeps."""

    method: str
    weights: Sequence[float] = (1.0, 1.0)  # one a model, in the models' order
    density: float = 0.5  # of each tensor, as in peft; the paper trims the whole update at once

    def __post_init__(self) -> None:
        require(self.method in METHODS, f"a method among {', '.join(METHODS)}",
                repr(self.method), "name one of them")
        require(0 < self.density <= 1, "a density above 0, at most 1", str(self.density),
                "correct it")


def merge_models(how: Merge, base: Path, models: Sequence[Path], out: Path) -> None:
    """Write the combination of full models of one base as a model folder, in float32."""
    require(len(how.weights) == len(models), "one weight for each model",
            f"{len(how.weights)} for {len(models)}", "give as many")
    start, *tuned = (_tensors(folder) for folder in (base, *models))
    for folder, other in zip(models, tuned, strict=True):
        _check_same(base, start, folder, other)
    loaded = load(base)
    merged = {name: _merged(how, start[name], [other[name] for other in tuned]) for name in start}
    found = loaded.model.load_state_dict(merged, strict=False)  # a tied head is in no file
    require(not found.unexpected_keys, f"weights of {base} by the names of its architecture",
            ", ".join(found.unexpected_keys[:3]), "load and save that model once")
    loaded.model.save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)


def _merged(how: Merge, start: torch.Tensor, tuned: list[torch.Tensor]) -> torch.Tensor:
    """One tensor; in float64, so that a single model with weight one comes back to the bit."""
    from peft.utils.merge_utils import task_arithmetic, ties  # slow to import

    updates = [other.double() - start.double() for other in tuned]
    weights = torch.tensor(how.weights, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The density", UserWarning)  # of one: nothing is trimmed
        update = (task_arithmetic(updates, weights) if how.method == "added"
                  else ties(updates, weights, how.density))
    return (start.double() + update).float()


def _tensors(folder: Path) -> Tensors:
    """All weights of a full model, by name."""
    require(not (folder / ADAPTER_CONFIG).exists(), "full models, to combine them",
            f"the adapter {folder}", "merge it first: finetune.merge true, or merge_adapter")
    found: Tensors = {}
    for file in weight_files(folder):
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118
    return found


def _check_same(base: Path, start: Tensors, folder: Path, other: Tensors) -> None:
    """Models of one base have its tensors, no others, in its shapes."""
    apart = sorted(start.keys() ^ other.keys()) or [
        name for name in start if start[name].shape != other[name].shape]
    require(not apart, f"tensors named and shaped as in {base}",
            f"others in {folder}: {', '.join(apart[:3])}", "combine models of one base")
