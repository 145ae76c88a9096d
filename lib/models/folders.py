"""Causal language models in standard folders: load, chat format, adapters, merge, fingerprint.

Every folder that this module writes loads with plain ``transformers`` (or ``peft``, for an
adapter) in a process that has never heard of ``lib``. Only safetensors are ever read.
"""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from lib.errors import CorruptArtefactError, InvalidValueError, UnsafeWeightsError

ADAPTER_CONFIG = "adapter_config.json"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")

# One bar per loaded model drowns a notebook's own output.
transformers_logging.disable_progress_bar()


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its tokenizer.

    Attributes
    ----------
    model : PreTrainedModel
        Or a ``peft.PeftModel`` around one, when the folder holds an adapter.
    tokenizer : PreTrainedTokenizerBase
    fingerprint : str
        SHA-256 (hex) over the weight files; of base and adapter for an adapter.
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    fingerprint: str

    @property
    def device(self) -> torch.device:
        """Device that holds the weights; inputs must be moved there."""
        return self.model.device


def load(folder: Path | str, dtype: str = "float32") -> LoadedModel:
    """Load a model folder, or an adapter folder together with its base.

    An adapter names its base in ``adapter_config.json`` (``base_model_name_or_path``), read
    relative to the adapter's own folder, so that a moved tree of models still loads.

    Parameters
    ----------
    folder : path
        As written by ``save_pretrained``.
    dtype : {"float32", "bfloat16", "float16"}

    Raises
    ------
    InvalidValueError
        No such folder, no weights in it, or an unknown dtype.
    UnsafeWeightsError
        The folder offers pickled weights only.
    CorruptArtefactError
        Configuration, tokenizer or weights that cannot be read, or are incomplete.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise InvalidValueError(f"a dtype among {', '.join(DTYPES)}", repr(dtype), "name one")
    weights = weight_files(folder)
    if (folder / ADAPTER_CONFIG).exists():
        return _load_adapter(folder, weights, dtype)
    try:
        model, problems = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=DTYPES[dtype],
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # each file format fails with its own exception class
        raise _unreadable(folder, error) from error
    if problems["missing_keys"]:  # transformers would fill them with random numbers
        raise _unreadable(folder, f"weights without {sorted(problems['missing_keys'])[:3]}")
    return LoadedModel(_place(model), tokenizer, _sha256(weights))


def weight_files(folder: Path) -> list[Path]:
    """The folder's safetensors files, sorted by name; refuses a folder without any.

    Raises
    ------
    InvalidValueError, UnsafeWeightsError
        As in `load`.
    """
    expected, fix = "a model folder with *.safetensors weights", "train or download the model first"
    if not folder.is_dir():
        raise InvalidValueError(expected, f"no folder {folder}", fix)
    weights = sorted(folder.glob("*.safetensors"))
    pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    if not weights and pickled:
        raise UnsafeWeightsError(
            expected,
            f"only pickled files in {folder}: {', '.join(pickled)}",
            "convert them where you trust their source; unpickling can run any code",
        )
    if not weights:
        raise InvalidValueError(expected, f"no weights in {folder}", fix)
    return weights


def adapter_base(adapter: Path) -> Path:
    """Folder of the base model that an adapter folder names.

    Raises
    ------
    CorruptArtefactError
        The adapter's configuration is unreadable or names no base.
    """
    try:
        name = json.loads((adapter / ADAPTER_CONFIG).read_text())["base_model_name_or_path"]
        return Path(os.path.normpath(adapter / name))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(adapter, error) from error


def _load_adapter(folder: Path, weights: list[Path], dtype: str) -> LoadedModel:
    base = load(adapter_base(folder), dtype)
    model = _attach(base.model, folder)
    digest = hashlib.sha256((base.fingerprint + _sha256(weights)).encode()).hexdigest()
    return LoadedModel(_place(model), base.tokenizer, digest)


def _attach(base: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    from peft import PeftModel  # slow to import, and most loads need no adapter

    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers about checkpointing under a name that is going away.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # norms
            return PeftModel.from_pretrained(base, str(adapter), local_files_only=True)
    except Exception as error:
        raise _unreadable(adapter, error) from error


def _place(model: PreTrainedModel) -> PreTrainedModel:
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _unreadable(folder: Path, why: Exception | str) -> CorruptArtefactError:
    reason = " ".join(str(why).split())[:300].rstrip(".")
    return CorruptArtefactError(
        "a complete model folder (configuration, tokenizer, safetensors)",
        f"{folder}, which does not load: {reason}",
        "delete the folder and build or download it again",
    )


def chat_ids(
    tokenizer: Tokenizer, user: str, system: str | None = None, answer: str = ""
) -> list[int]:
    """Token ids of a chat in which the assistant is about to speak.

    Parameters
    ----------
    user, system : str
        The two messages; without ``system`` the template's own default applies.
    answer : str
        Words already put into the assistant's mouth. They are tokenised on their own, as the
        assistant's turn begins at a token boundary.

    Raises
    ------
    InvalidValueError
        The tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise InvalidValueError(
            "a tokenizer with a chat template", "none", "use an instruction-tuned model"
        )
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": user})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # The template writes its special tokens itself; adding them again would double them.
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids + (tokenizer(answer, add_special_tokens=False)["input_ids"] if answer else [])


def merge_adapter(base_folder: Path | str, adapter_folder: Path | str, out: Path | str) -> None:
    """Fold an adapter into its base; for LoRA ``W + (alpha / rank) B A``, summed in float32.

    ``out`` becomes an ordinary model folder, without any cost of the adapter at inference.

    Raises
    ------
    As `load`.
    """
    base, adapter = load(base_folder), Path(adapter_folder)
    weight_files(adapter)
    merged = _attach(base.model, adapter).merge_and_unload()
    merged.save_pretrained(out)
    base.tokenizer.save_pretrained(out)


def save_card(folder: Path | str, text: str) -> None:
    """Write the model card, ``README.md``, which replaces any generated one."""
    (Path(folder) / "README.md").write_text(text.rstrip() + "\n", encoding="utf-8")
