"""Many models measured side by side, each measurement an artefact of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.study.workers import Run, side_by_side

if TYPE_CHECKING:
    from lib.study.notebook import Study



def model_frames(
    study: "Study",
    name: str,
    folders: Iterable[Path],
    ask: Callable[..., pd.DataFrame],
    arguments: Sequence[Any] = (),
    *,
    inputs: Mapping[str, Any],
    code: Sequence[str],
) -> list[pd.DataFrame]:
    """Item frame of each model, from the run's store; missing ones are measured side by side.

    Parameters
    ----------
    name : str
        Of the artefacts; see `lib.study.store.Store.frame`.
    ask : callable
        ``ask(folder, *arguments)`` gives the frame; a function at the top of a module, so that
        it travels to worker processes.
    inputs : mapping
        What decides the frame beside the model: all of `arguments` in canonical form.
    code : sequence of str
        Modules whose import closure decides the result.

    Returns
    -------
    list of DataFrame
        In the order of `folders`.
    """

    def measure(folder: Path, run: Run) -> pd.DataFrame:
        return study.store.frame(name, {"model": folder, **inputs},
                                 lambda: run(ask, folder, *arguments), code=code)

    return side_by_side(measure, list(folders), study.profile.workers)


def everyone(arms: Mapping[Any, Iterable[Path]]) -> list[Path]:
    """The models of all arms, to be asked at once."""
    return [folder for several in arms.values() for folder in several]


def by_arm(arms: Mapping[Any, Iterable[Path]], found: Iterable[Any]) -> dict[Any, list[Any]]:
    """What was found of `everyone`, each arm with its own."""
    left = iter(found)
    return {arm: [next(left) for _ in several] for arm, several in arms.items()}
