"""Advice for names that do not exist."""

import difflib
from collections.abc import Sequence


def nearest(name: str, valid: Sequence[str]) -> str:
    """What to do about `name`: the closest valid one, or all of them.

    A last part that fits ("rank" for "finetune.rank") counts as close.
    """
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    tail = [full for full in valid if full.rpartition(".")[2] == name.rpartition(".")[2]]
    if best := close or tail:
        return f"did you mean {best[0]}"
    return f"choose one of {', '.join(valid)}" if valid else "there is none to choose"
