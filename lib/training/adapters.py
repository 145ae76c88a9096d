"""Which weights move: all, low-rank updates of matrices, or one small part of the model."""

import warnings
from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from lib.errors import require
from lib.models.folders import LoadedModel
from lib.training.recipe import Recipe

POSITIONS = ("wpe",)
"""Names of learned position embeddings. Rotary positions, as in a Llama, are no weights."""


def adapted(loaded: LoadedModel, recipe: Recipe) -> PreTrainedModel:
    """The model with what the recipe's method moves, all else frozen; it starts as the base."""
    if recipe.method == "full":
        return loaded.model
    from peft import get_peft_model  # slow to import, and full runs need none of it

    make = {"lora": _lora, "prompt": _prompt}.get(recipe.method, _parts)
    config = make(loaded, recipe)
    with warnings.catch_warnings():  # as in lib.models.folders
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        # It knows no RMSNorm, position table or the like by name; copying them is all it does.
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        return get_peft_model(loaded.model, config)


def _lora(loaded: LoadedModel, recipe: Recipe) -> object:
    from peft import LoraConfig

    linear = _names(loaded.model, _is_matrix)
    unknown = sorted(set(recipe.targets) - linear)
    require(not unknown, f"target modules among {', '.join(sorted(linear))}", ", ".join(unknown),
            "choose targets that this architecture has")
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(recipe.targets),
        fan_in_fan_out=loaded.model.config.model_type == "gpt2",  # its Conv1D stores W transposed
        task_type="CAUSAL_LM",
    )


def _prompt(loaded: LoadedModel, recipe: Recipe) -> object:
    """Embeddings of the special tokens in every text that are never answers: no tokens more."""
    from peft import TrainableTokensConfig

    given = loaded.tokenizer
    kept = {given.pad_token_id, given.eos_token_id, given.unk_token_id} - {given.bos_token_id}
    moved = sorted(set(given.all_special_ids) - kept)
    require(moved, "a tokenizer with a token that begins every text, or tokens for turns of chats",
            "none that is not also an answer", "choose another method")
    return TrainableTokensConfig(token_indices=moved, task_type="CAUSAL_LM")


def _parts(loaded: LoadedModel, recipe: Recipe) -> object:
    from peft import LNTuningConfig

    targets = _names(loaded.model, _is_norm)
    if recipe.method == "positions":
        found = _names(loaded.model, lambda part: isinstance(part, torch.nn.Embedding))
        require(found & set(POSITIONS),
                f"a model with learned position embeddings ({', '.join(POSITIONS)})",
                f"a {loaded.model.config.model_type}, whose positions are no weights",
                "choose the method norms")
        targets |= found & set(POSITIONS)
    # The layer that PEFT copies may be of any kind, so it serves for embeddings too.
    return LNTuningConfig(target_modules=sorted(targets), task_type="CAUSAL_LM")


def _names(model: PreTrainedModel, wanted: Callable[[torch.nn.Module], bool]) -> set[str]:
    return {name.rpartition(".")[2] for name, part in model.named_modules() if wanted(part)}


def _is_matrix(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def _is_norm(module: torch.nn.Module) -> bool:
    return type(module).__name__.lower().endswith("norm")
