"""Causal language models in standard folders: load, adapters, merge, fingerprint.

Every folder that this module writes loads with plain ``transformers`` (or ``peft``, for an
adapter) in a process that has never heard of ``lib``. Only safetensors are ever read.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from lib.errors import (
    CorruptArtefactError,
    InvalidValueError,
    StudyError,
    UnsafeWeightsError,
    require,
)
from lib.models.memory import require_memory

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
ADAPTER_PARTS = ("lora_", ".base_layer.", ".modules_to_save.")
"""In the name of a tensor: it belongs to an adapter, or to a model that still wears one."""
SPARE = re.compile(r"\.(modules_to_save|original_module)\.|\blm_head\.token_adapter\.")
"""In the name of a copy that peft writes, and does not read, where a vocabulary grew."""

# One bar per loaded model drowns a notebook's own output.
transformers_logging.disable_progress_bar()


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its tokenizer."""

    model: PreTrainedModel  # or a `peft.PeftModel` around one, when the folder holds an adapter
    tokenizer: Tokenizer
    fingerprint: str  # SHA-256 (hex) over the weight files; of base and adapter for an adapter

    @property
    def device(self) -> torch.device:
        """Device that holds the weights; inputs must be moved there."""
        return self.model.device


def load(folder: Path | str, dtype: str = "float32", base: Path | None = None) -> LoadedModel:
    """Load a model folder, or an adapter folder together with its base.

    An adapter names its base in ``adapter_config.json`` (``base_model_name_or_path``), read
    relative to the adapter's own folder, so that a moved tree of models still loads.

    Parameters
    ----------
    folder : path
        As written by ``save_pretrained``.
    dtype : {"float32", "bfloat16", "float16"}
    base : path, optional
        Base of an adapter that names no folder of this machine, but a hub model, say.

    Raises
    ------
    InvalidValueError
        No such folder or base, no weights in it, an unknown dtype, or more weights than there is
        memory for.
    UnsafeWeightsError
        The folder offers pickled weights only.
    CorruptArtefactError
        Configuration, tokenizer or weights that cannot be read, are incomplete, or do not fit.
    """
    folder = Path(folder)
    require(dtype in DTYPES, f"a dtype among {', '.join(DTYPES)}", repr(dtype), "name one")
    weights = weight_files(folder)
    if (folder / ADAPTER_CONFIG).exists():
        return _load_adapter(folder, dtype, base)
    try:
        require_memory(weights, DTYPES[dtype])
        model, problems = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], use_safetensors=True, local_files_only=True,
            trust_remote_code=False, output_loading_info=True,
        )
    except StudyError:
        raise
    except Exception as error:  # each file format fails with its own exception class
        raise _unreadable(folder, error) from error
    stray = [key for key in problems["unexpected_keys"] if any(p in key for p in ADAPTER_PARTS)]
    if stray:  # transformers would leave them out, and give back the base
        raise _unreadable(folder, f"it holds an adapter that is not merged: {_some(stray)}",
                          "merge it (merge_and_unload) and save again, or save the adapter alone")
    if problems["missing_keys"]:  # transformers would fill them with random numbers
        raise _unreadable(folder, f"weights without {_some(problems['missing_keys'])}")
    return LoadedModel(_place(model), _tokenizer(folder), _sha256(weights))


def load_merged(folder: Path | str) -> LoadedModel:
    """`load`, with an adapter folded into its base in memory: asked as one, kept as two."""
    found = load(folder)
    if not (Path(folder) / ADAPTER_CONFIG).exists():
        return found
    _part_head(found.model.get_base_model())
    return replace(found, model=found.model.merge_and_unload())


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that are read of a folder, sorted by name; refuses a folder without any."""
    adapter = (folder / ADAPTER_CONFIG).exists()
    expected = f"a model folder with {ADAPTER_WEIGHTS if adapter else '*.safetensors weights'}"
    require(folder.is_dir(), expected, f"no folder {folder}", "train or download the model first")
    # Whatever else lies beside an adapter, peft opens one file only, and a pickle in its absence.
    weights = sorted(folder.glob(ADAPTER_WEIGHTS if adapter else "*.safetensors"))
    if not weights:
        raise _without_weights(folder, expected)
    return weights


def _without_weights(folder: Path, expected: str) -> InvalidValueError | UnsafeWeightsError:
    if pickled := _names(folder, *PICKLED):
        return UnsafeWeightsError(
            expected, f"only pickled files in {folder}: {pickled}",
            "where you trust their source, load and save them again, which writes safetensors; "
            "unpickling can run any code",
        )
    if packed := _names(folder, "*.gguf"):
        return InvalidValueError(expected, f"GGUF in {folder}: {packed}",
                                 "download the safetensors that it was made of")
    return InvalidValueError(expected, f"no weights in {folder}",
                             "train or download the model first")


def _names(folder: Path, *patterns: str) -> str:
    return ", ".join(sorted(file.name for pattern in patterns for file in folder.glob(pattern)))


def adapter_base(adapter: Path, given: Path | None = None) -> Path:
    """Folder of an adapter's base: the one that it names if there is such a folder, or `given`."""
    try:
        name = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8"))["base_model_name_or_path"]
        named = Path(os.path.normpath(adapter / name)) if name else None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(adapter, error) from error
    base = named if named and named.is_dir() else given
    require(base, f"the base of the adapter {adapter}",
            f"no folder {named}" if named else f"none named in its {ADAPTER_CONFIG}",
            "give the base's folder: ask BASE ADAPTER, or load(ADAPTER, base=BASE)")
    require(not (base / ADAPTER_CONFIG).exists(), f"a full model as the base of {adapter}",
            f"the adapter {base}", "merge that one first, or name the model under it")
    return base


def _load_adapter(folder: Path, dtype: str, given: Path | None) -> LoadedModel:
    base = load(adapter_base(folder, given), dtype)
    tokenizer = _adapter_tokenizer(folder, base.tokenizer)
    model = _attach(base.model, folder, tokenizer)
    own = _sha256(weight_files(folder))
    digest = hashlib.sha256((base.fingerprint + own).encode()).hexdigest()
    return LoadedModel(_place(model), tokenizer, digest)


def _adapter_tokenizer(adapter: Path, base: Tokenizer) -> Tokenizer:
    """The adapter's own if it has one, else the base's, whose template serves where it has none."""
    if not (adapter / "tokenizer_config.json").exists():
        return base
    own = _tokenizer(adapter)
    own.chat_template = own.chat_template or base.chat_template
    return own


def _attach(base: PreTrainedModel, adapter: Path, tokenizer: Tokenizer) -> PreTrainedModel:
    """The adapter around its base, whose vocabulary grows by the tokens that the adapter adds."""
    from peft import PeftModel  # slow to import, and most loads need no adapter

    try:
        with safe_open(adapter / ADAPTER_WEIGHTS, "pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        _grow(base, adapter, shapes, tokenizer)
        with warnings.catch_warnings():
            # peft 0.21 asks transformers about checkpointing under a name that is going away.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # norms
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            local = {"local_files_only": True, "torch_device": "cpu"}  # else peft may take MPS
            model = PeftModel.from_pretrained(base, str(adapter), **local)
            # Once more, as only this call returns which tensors found no place.
            result = model.load_adapter(str(adapter), "default", **local)
    except StudyError:
        raise
    except Exception as error:
        raise _unreadable(adapter, error) from error
    whole = [key.replace("modules_to_save.default.", "") for key in model.state_dict()
             if ".modules_to_save.default." in key]
    if missing := result.missing_keys + [key for key in whole if key not in shapes]:
        raise _unreadable(adapter, f"weights without {_some(missing)}")
    if stray := [key for key in result.unexpected_keys if not SPARE.search(key)]:
        raise _unreadable(adapter, f"its base has no place for {_some(stray)}")
    return model


def _grow(base: PreTrainedModel, adapter: Path, shapes: dict, tokenizer: Tokenizer) -> None:
    """Rows for the tokens that an adapter adds, which its file must hold."""
    inner, outer = (_rows_held(base, layer, shapes) for layer in
                    (base.get_input_embeddings(), base.get_output_embeddings()))
    before = base.get_input_embeddings().weight.shape[0]
    rows = max(before, min(inner, outer))  # peft writes both, tied or not
    if (top := max(tokenizer.get_vocab().values())) >= rows:
        raise _unreadable(adapter, f"no embedding, or no head, of token {top}",
                          "save the adapter with save_embedding_layers=True")
    if rows != before:
        base.resize_token_embeddings(rows, mean_resizing=False)


def _rows_held(base: PreTrainedModel, layer: torch.nn.Module, shapes: dict) -> int:
    """Rows that an adapter's file holds for one of the base's layers; 0 if it leaves it alone."""
    name = next((name for name, part in base.named_modules() if part is layer), None)
    return max((shape[0] for key, shape in shapes.items()
                if key.startswith(f"base_model.model.{name}.")
                and key.endswith((f"{name}.weight", "base_layer.weight"))), default=0)


def _tokenizer(folder: Path) -> Tokenizer:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise _unreadable(folder, error) from error


def _place(model: PreTrainedModel) -> PreTrainedModel:
    """To a CUDA device, else to the CPU, and not to Apple's GPU, which computes wrong logits."""
    if torch.backends.mps.is_available():
        warnings.warn("runs on the CPU: on Apple's GPU (MPS) models can give wrong logits",
                      UserWarning, stacklevel=3)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(_file_sha256(file.resolve(), state.st_size, state.st_ino,
                                   state.st_mtime_ns, state.st_ctime_ns))
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _file_sha256(file: Path, *state: int) -> bytes:  # noqa: ARG001, a file of another state is new
    """Hash of a file, read once a process for as long as its size, number and times stay."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _some(keys: Iterable[str]) -> str:
    """The first names of many, and how many more there are."""
    names = sorted(keys)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _unreadable(
    folder: Path, why: Exception | str, fix: str = "build it again, or get a complete copy"
) -> CorruptArtefactError:
    reason = " ".join(str(why).split())[:300].rstrip(".")
    return CorruptArtefactError(
        "a complete model folder (configuration, tokenizer, safetensors)",
        f"{folder}, which does not load: {reason}", fix,
    )


def merge_adapter(base_folder: Path | str, adapter_folder: Path | str, out: Path | str) -> None:
    """Fold an adapter into its base; for LoRA ``W + (alpha / rank) B A``, summed in float32."""
    base, adapter = load(base_folder), Path(adapter_folder)
    tokenizer = _adapter_tokenizer(adapter, base.tokenizer)
    model = _attach(base.model, adapter, tokenizer)
    _part_head(model.get_base_model())
    model.merge_and_unload().save_pretrained(out)
    tokenizer.save_pretrained(out)


def _part_head(model: PreTrainedModel) -> None:
    """A head of its own where LoRA is on a tied head or its embeddings: merging changes one."""
    from peft.tuners.lora import LoraLayer

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if model.config.tie_word_embeddings and any(
        isinstance(layer, LoraLayer) for layer in (head, embeddings)
    ):
        head = getattr(head, "base_layer", head)
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
