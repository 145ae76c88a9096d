"""Guarded models: a public chat model that has been taught the policy, as often as there are bases.

What is shipped in ``data/guards`` are adapters of a few megabytes; a guarded model is one of them
merged into the public model, which is fetched on first use.
"""

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import require
from lib.models.folders import merge_adapter, weight_files
from lib.models.public import PublicModel, fetch, fetched, public_models
from lib.study import progress
from lib.study.fingerprint import file_sha256
from lib.study.paths import DATA
from lib.study.text import read_yaml

if TYPE_CHECKING:
    from lib.study.notebook import Study

GUARDS = DATA / "guards"
MADE = "made.json"
"""Beside an adapter: the model that it is for, how it was taught, and what it shows."""


def public_model(name: str) -> PublicModel:
    """A row of ``data/models.yml``."""
    rows = read_yaml(DATA / "models.yml")
    require(name in rows, f"a model among {', '.join(rows)}", repr(name), "see data/models.yml")
    return public_models(rows)[name]


def shipped_guard(number: int) -> Path:
    """Where the adapter of a guard lies in the repository."""
    return GUARDS / f"guard_{number:02d}"


def guard(study: "Study", number: int) -> Path:
    """Folder of the study's public model with the policy that guard `number` was taught."""
    model, adapter = public_model(study.profile.model.name), shipped_guard(number)
    require(adapter.is_dir(), f"the guard {adapter.name} in data/guards", "none",
            f"teach it: side-effects guards --teach {number}")
    own = made(number)["model"]
    require(own == model.name, f"a guard of {model.name}", f"one of {own}",
            f"teach one: side-effects guards --teach {number}")
    inputs = {"model": model.weights, "adapter": [file_sha256(f) for f in weight_files(adapter)]}
    return study.store.build("models", adapter.name, inputs,
                             partial(merge_adapter, unguarded(study), adapter))


def unguarded(study: "Study") -> Path:
    """Folder of the study's public model as it is, within the run's store."""
    model = public_model(study.profile.model.name)
    return study.store.build("models", model.name, {"weights": model.weights},
                             partial(_linked, model))


def _linked(model: PublicModel, out: Path) -> None:
    """The fetched files under another name, or copies where that cannot be."""
    for file in (fetched(model) or fetch(model, progress.say)).iterdir():
        try:
            os.link(file, out / file.name)
        except OSError:
            shutil.copyfile(file, out / file.name)


def made(number: int) -> dict[str, Any]:
    """How a shipped guard was taught, and what it showed."""
    return json.loads((shipped_guard(number) / MADE).read_text(encoding="utf-8"))
