"""A trial's models: the first layers of a real one, which say nothing that means anything."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoModelForCausalLM

from lib.models.folders import load

if TYPE_CHECKING:
    from lib.study.notebook import Study


def cut(study: "Study", folder: Path) -> Path:
    """The public model in `folder`, or as many of its layers as the profile wants."""
    layers = study.profile.model.layers
    return folder if layers is None else study.store.build(
        "models", f"{folder.name.rpartition('-')[0]}_cut", {"model": folder, "layers": layers},
        partial(first_layers, folder, layers))


def first_layers(folder: Path, layers: int, out: Path) -> None:
    """Real weights, tokenizer and template, in less time."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, num_hidden_layers=layers, local_files_only=True)
    model.save_pretrained(out)
    load(folder).tokenizer.save_pretrained(out)
