"""Whether a model fits into memory, estimated from its files before anything is read of them."""

from collections.abc import Iterable
from contextlib import suppress
from math import prod
from pathlib import Path

import psutil
import torch
from safetensors import safe_open

from lib.errors import InvalidValueError, require

CGROUP = Path("/sys/fs/cgroup")
LIMITS = (("memory.max", "memory.current"),
          ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""A container's limit and use, in control groups of version 2 and of version 1."""


def require_memory(files: Iterable[Path], dtype: torch.dtype) -> None:
    """Refuse weights that will not fit, with the ways out; each file is read whole."""
    files = list(files)
    needed = parameters(files) * dtype.itemsize
    places = {"memory": free()}
    if torch.cuda.is_available():
        places["GPU memory"] = torch.cuda.mem_get_info()[0]
    for name, left in places.items():
        require(needed < left, f"{needed / 1e9:.1f} GB of free {name} for {files[0].parent}",
                f"{left / 1e9:.1f} GB", "close what else runs, choose a smaller model, set "
                "model.workers to 1, or take a machine with more", InvalidValueError)


def parameters(files: Iterable[Path]) -> int:
    """Numbers in all tensors, from the files' headers."""
    total = 0
    for file in files:
        with safe_open(file, "pt") as opened:
            total += sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
    return total


def free(cgroup: Path = CGROUP) -> int:
    """Bytes that a process may still take: of the machine, or less by a container's limit."""
    left = [psutil.virtual_memory().available]
    for most, used in LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max": no limit
            left.append(int((cgroup / most).read_text()) - int((cgroup / used).read_text()))
    return max(0, min(left))
