"""Training runs: each an artefact of its own, those that are missing trained side by side."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lib.study import workers
from lib.study.notebook import Study
from lib.study.workers import side_by_side
from lib.training.job import ADAPTER, FIGURES, MODEL, Job, make


def train_all(study: Study, jobs: Mapping[str, Job]) -> dict[str, Path]:
    """Folder of each job's result, as `lib.training.job.make` fills it; trained if missing."""
    def stored(artefact: dict[str, Any], run: workers.Run) -> Path:
        return study.store.build(**artefact, run=run)

    made = side_by_side(stored, _artefacts(study, jobs), study.profile.workers)
    return dict(zip(jobs, made, strict=True))


def planned(study: Study, jobs: Mapping[str, Job]) -> list[str]:
    """Key of each job's result, trained or not."""
    return [study.store.place(**artefact)[1] for artefact in _artefacts(study, jobs)]


def _artefacts(study: Study, jobs: Mapping[str, Job]) -> list[dict[str, Any]]:
    """Arguments of `Store.build` for each job."""
    jobs = {key: in_parts(job) for key, job in jobs.items()}
    # Many arms share their examples, and to write thousands of them as text takes a while.
    shared = {id(job.examples): job.examples for job in jobs.values()}
    digests = {key: study.store.digest(examples) for key, examples in shared.items()}
    found = []
    for job in jobs.values():
        merge = study.profile.finetune.merge and job.recipe.method != "full"
        inputs = {
            "base": job.base, "recipe": job.recipe, "examples": digests[id(job.examples)],
            "regularizer": study.store.digest(job.regularizer), "merged": merge,
        }
        found.append({"kind": "models", "name": job.recipe.method, "inputs": inputs,
                      "make": partial(make, job, merge)})
    return found


def in_parts(job: Job) -> Job:
    """Without the last few examples, where an epoch would end with fewer than a step has parts."""
    rest = len(job.examples) % job.recipe.batch_size
    few = 0 < rest < job.recipe.accumulation and rest < len(job.examples)
    return replace(job, examples=job.examples[:-rest]) if few else job


def model_folder(folder: Path) -> Path:
    """What is measured of a run: its model, or its adapter where no merged copy is kept."""
    return folder / MODEL if (folder / MODEL).is_dir() else folder / ADAPTER


def training_figures(folders: Mapping[Any, Path]) -> pd.DataFrame:
    """Losses, tokens seen and numbers of parameters, one row a folder, indexed as the mapping."""
    rows = {key: json.loads((folder / FIGURES).read_text()) for key, folder in folders.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.assign(share_trained=table["trainable"] / table["total"])
