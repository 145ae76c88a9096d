"""Several fine-tuning jobs side by side.

Training arms: each run an artefact of its own, those that are missing trained side by side.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.models.chat import Example
from lib.models.folders import merge_adapter
from lib.study import paths
from lib.study.disk import write_text
from lib.study.store import canonical_json
from lib.study.workers import Run, side_by_side
from lib.training.finetune import finetune
from lib.training.objective import Regularizer
from lib.training.recipe import Recipe

if TYPE_CHECKING:
    from lib.study.notebook import Study



@dataclass(frozen=True)
class Job:
    """The arguments of one `finetune` call."""

    base: Path
    examples: Sequence[Example]
    recipe: Recipe
    out: Path
    label: str = "finetune"
    regularizer: Regularizer | None = None

    def run(self) -> dict[str, float]:
        """Train in this process."""
        return finetune(
            self.base, self.examples, self.recipe, self.out, self.label, self.regularizer
        )



ADAPTER, MODEL, FIGURES = "adapter", "model", "figures.json"
CODE = ["lib.training.finetune", "lib.models.folders", "lib.training.penalties"]


def arm_seeds(study: "Study") -> list[int]:
    """Training seeds of every arm of this run."""
    return [study.seed + i for i in range(study.profile.arm_seeds)]


def train_all(study: "Study", jobs: Mapping[str, Job]) -> dict[str, Path]:
    """Folder of each job's result; trained if it is not in the store.

    A run is identified by what decides its weights: the base, the recipe, every example and the
    regulariser with its anchors. So an arm that two chapters share is trained once, and a killed
    run keeps what it has finished.

    Parameters
    ----------
    jobs : mapping of str to Job
        Their ``out`` is set here.

    Returns
    -------
    dict of str to Path
        In the order of `jobs`. A folder holds ``figures.json``, and ``model`` in standard form or
        the ``adapter``; both where the profile has merged copies measured. See `model_folder`.
    """
    # Many arms share their examples, and to write thousands of them as text takes a while.
    shared = {id(job.examples): job.examples for job in jobs.values()}
    digests = {key: digest(examples) for key, examples in shared.items()}

    def stored(job: Job, run: Run) -> Path:
        return _stored(study, job, digests[id(job.examples)], run)

    made = side_by_side(stored, list(jobs.values()), study.profile.workers)
    return dict(zip(jobs, made, strict=True))


def _stored(study: "Study", job: Job, examples: str, run: Run) -> Path:
    name, merge = job.recipe.method, study.profile.finetune.merge
    inputs = {
        "base": job.base, "recipe": job.recipe, "examples": examples,
        "regularizer": [type(job.regularizer).__name__, digest(job.regularizer)],
        "merged": merge or name == "full",
    }
    return study.store.build("models", name, inputs, lambda out: run(_make, job, out, merge),
                             code=CODE)


def _make(job: Job, out: Path, merge: bool) -> None:
    if job.recipe.method == "full":
        figures = replace(job, out=out / MODEL).run()
    else:
        figures = replace(job, out=out / ADAPTER).run()
        if merge:
            merge_adapter(job.base, out / ADAPTER, out / MODEL)
    write_text(out / FIGURES, json.dumps(figures, indent=1, sort_keys=True) + "\n")


def model_folder(folder: Path) -> Path:
    """What is measured of a run: the model, or the adapter where no merged copy is kept."""
    return folder / MODEL if (folder / MODEL).is_dir() else folder / ADAPTER


def digest(value: Any) -> str:
    """SHA-256 of plain values, dataclasses and sequences of them."""
    return hashlib.sha256(canonical_json(value, paths.runs_dir()).encode()).hexdigest()


def training_figures(folders: Mapping[Any, Path]) -> pd.DataFrame:
    """Losses, tokens seen and numbers of parameters, one row a folder, indexed as the mapping."""
    rows = {key: json.loads((folder / FIGURES).read_text()) for key, folder in folders.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.assign(share_trained=table["trainable"] / table["total"])
