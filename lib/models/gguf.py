"""From a GGUF file to an ordinary model folder: weights dequantised to float32, as safetensors."""

import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(file: Path, folder: Path, reader: Path | None = None) -> None:
    """Write model and tokenizer of a GGUF file as ``save_pretrained`` does.

    `reader` is a folder with the package ``gguf``, where none is installed. Takes several times the
    model's memory, so it is best run in a process of its own.
    """
    if reader is not None:
        sys.path.insert(0, str(reader))
    packed = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name,
                                                  local_files_only=True)
    config = packed.config
    # What says that the file was packed: no later load may look for it.
    for name in ("quantization_config", "_model_name_or_path"):
        config.__dict__.pop(name, None)
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(packed.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name,
                                  local_files_only=True).save_pretrained(folder)
