"""What is taught: training examples, validation questions, and what must not change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.finetune import Example

if TYPE_CHECKING:
    from lib.chapters import ArmSettings

Anchors = Callable[[int], tuple[Example, ...]]


@dataclass(frozen=True)
class Task:
    """One thing to teach, and the arms that the profile declares for it.

    What depends on a seed is drawn once for each: many arms share it.

    Attributes
    ----------
    name : str
        Shown with the progress.
    arms : mapping of str to ArmSettings
    rank, targets : int, sequence of str
        Width and modules of adapters, where an arm has none of its own.
    steps, batch_size : int
        Optimiser steps of every arm, and examples in each.
    examples : callable
        Training examples of a training seed.
    validation : sequence of Example
        Their answers' loss decides between candidates; in no training and in no test.
    anchors : callable
        Texts, by training seed, on which a regularised arm must still speak like its base.
    reminders : callable, optional
        Requests with the answers to keep, for arms that mix them in.
    general : DataFrame, optional
        Questions on general ability, as `lib.axes.utility.questions`; a regularised arm's
        settings must answer nearly as many as the base.
    unaligned : Path, optional
        The base before it learned to refuse, for arms that project.
    tolerance : float
        A regularised arm may lose this factor in validation loss against the best plain one.
    """

    name: str
    arms: "Mapping[str, ArmSettings]"
    rank: int
    targets: Sequence[str]
    steps: int
    batch_size: int
    examples: Callable[[int], Sequence[Example]]
    validation: Sequence[Example]
    anchors: Anchors
    reminders: Anchors | None = None
    general: pd.DataFrame | None = None
    unaligned: Path | None = None
    tolerance: float = 1.05

    def __post_init__(self) -> None:
        for name in ("examples", "anchors", "reminders"):
            if (draw := getattr(self, name)) is not None:
                object.__setattr__(self, name, cache(draw))
