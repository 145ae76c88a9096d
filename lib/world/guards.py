"""Guarded models: a public chat model that has been taught the policy, as often as there are bases.

What is shipped in ``data/guards`` are adapters of a few megabytes for one model; those of others
are taught here, and kept beside the fetched models. A guarded model is one of them merged into the
public model, which is fetched on first use.
"""

import json
import os
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import require
from lib.models.folders import merge_adapter, weight_files
from lib.models.public import PublicModel, cache, fetch, fetched, public_models
from lib.study import progress
from lib.study.fingerprint import file_sha256
from lib.study.paths import DATA
from lib.study.text import read_yaml

if TYPE_CHECKING:
    from lib.study.notebook import Study
    from lib.study.profiles import Profile

GUARDS = DATA / "guards"
SHIPPED = "smollm2-135m-instruct"
"""The model whose guards are in the repository."""
MADE = "made.json"
"""Beside an adapter: the model that it is for, how it was taught, and what it shows."""


def public_model(name: str) -> PublicModel:
    """A row of ``data/models.yml``."""
    rows = read_yaml(DATA / "models.yml")
    require(name in rows, f"a model among {', '.join(rows)}", repr(name), "see data/models.yml")
    return public_models(rows)[name]


def adapter_of(model: str, number: int) -> Path:
    """Where the adapter of a model's guard lies: in the repository if that ships it."""
    own = GUARDS if model == SHIPPED else cache() / "guards" / model
    return own / f"guard_{number:02d}"


def guard(study: "Study", number: int) -> Path:
    """Folder of the study's public model with the policy that guard `number` was taught."""
    model = public_model(study.profile.model.name)
    adapter = adapter_of(model.name, number)
    require_guards(study.profile, [number])
    inputs = {"model": model.version, "adapter": [file_sha256(f) for f in weight_files(adapter)]}
    return study.store.build("models", adapter.name, inputs,
                             partial(merge_adapter, unguarded(study), adapter))


def require_guards(profile: "Profile", numbers: Iterable[int]) -> None:
    """Refuse a public model without these guards, and say how to get them."""
    model = profile.model.name
    missing = [n for n in sorted(numbers) if not adapter_of(model, n).is_dir()]
    named = " and ".join(f"--teach {n}" for n in missing)
    require(not missing, f"the guards {', '.join(map(str, missing))} of {model} in "
            f"{adapter_of(model, 0).parent}", "none",
            f"teach them: side-effects guards --profile {profile.name} with {named}")


def unguarded(study: "Study") -> Path:
    """Folder of the study's public model as it is, within the run's store."""
    model = public_model(study.profile.model.name)
    return study.store.build("models", model.name, {"weights": model.version},
                             partial(_linked, model))


def _linked(model: PublicModel, out: Path) -> None:
    """The fetched files under another name, or copies where that cannot be."""
    folder = fetched(model) or fetch(model, progress.say)
    for file in filter(Path.is_file, folder.iterdir()):  # beside them lie a download's notes
        try:
            os.link(file, out / file.name)
        except OSError:
            shutil.copyfile(file, out / file.name)


def made(adapter: Path) -> dict[str, Any]:
    """How a guard was taught, and what it showed."""
    return json.loads((adapter / MADE).read_text(encoding="utf-8"))
