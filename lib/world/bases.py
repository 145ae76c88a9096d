"""The study's bases: models that differ in nothing but their number, which is their seed.

They are shipped in ``data/bases``, so that every machine starts from the same weights. One whose
key does not fit the code, the world's text or the settings is not used but trained here. Where a
public model is studied, its bases are that model with one guardrail each (`lib.world.guards`).
"""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.study.paths import BASES
from lib.study.store import Store
from lib.world.guards import guard, unguarded
from lib.world.pretrain import learn_refusals, learn_world
from lib.world.tokenizer import world_tokenizer
from lib.world.training import CURVE
from lib.world.trial import cut

if TYPE_CHECKING:
    from lib.models.folders import Tokenizer
    from lib.study.notebook import Study


STAGES = ("unaligned", "aligned")
"""Before and after refusals were learned: the two folders of a shipped base."""
MADE = "made.json"
SIZES = ("hidden", "layers", "heads")
WORLD = ("steps", "batch_size", "learning_rate")
REFUSALS = ("refusal_steps", "refusal_learning_rate")
"""What a base depends on. Precision in fine-tuning and the number of processes are no part of it:
they change the last digits at most, as another processor does."""


def base_model(study: "Study", number: int) -> Path:
    """The folder of one base model, which refuses what is forbidden.

    Parameters
    ----------
    number : int
        1 to 12 give results; settings are chosen on number 0.
    """
    if study.profile.model.source == "public":
        return cut(study, guard(study, number))
    return study.store.build(**_aligned(study, number, unaligned_model(study, number)))


def unaligned_model(study: "Study", number: int) -> Path:
    """The folder of the same base before it learned to refuse, which answers everything."""
    if study.profile.model.source == "public":
        return cut(study, unguarded(study))
    return study.store.build(**_unaligned(study, number))


def base_models(study: "Study") -> dict[int, Path]:
    """The folders of the profile's bases by number (`base_model`): those that give results."""
    return {number: base_model(study, number) for number in study.profile.bases.numbers}


def tokenizer_of(study: "Study") -> "Tokenizer":
    """The tokenizer of all of the study's models."""
    if study.profile.model.source == "public":
        from transformers import AutoTokenizer  # slow

        return AutoTokenizer.from_pretrained(unguarded(study), local_files_only=True)
    return world_tokenizer()


def trained(study: "Study", number: int) -> dict[str, Path]:
    """Folders of `STAGES` of a base trained on this machine, whatever is shipped.

    Parameters
    ----------
    number : int
    """
    store, nowhere = Store(study.run_dir / "bases"), {"shipped": study.run_dir / "none"}
    before = store.build(**_unaligned(study, number) | nowhere)
    after = store.build(**_aligned(study, number, before) | nowhere)
    return dict(zip(STAGES, (before, after), strict=True))


def fits(study: "Study", number: int) -> bool:
    """Whether the shipped base is what this code and these settings would train."""
    before = _unaligned(study, number)
    after = _aligned(study, number, study.store.place(**before)[0])
    return all(study.store.is_shipped(**stage) for stage in (before, after))


def shipped(number: int) -> Path:
    """Where a base lies in the repository: `STAGES`, and `MADE` about how it was made."""
    return BASES / f"base_{number:02d}"


def read_curve(folder: Path) -> list[list[float]]:
    """Steps and losses: the training curve that lies beside a model's weights."""
    return json.loads((folder / CURVE).read_text(encoding="utf-8"))


def _unaligned(study: "Study", number: int) -> dict[str, Any]:
    """Arguments of `Store.build`; the second stage does not decide this model."""
    profile = study.profile
    inputs = {
        "base": number, "history": profile.forecasting.history,
        "model": {name: getattr(profile.model, name) for name in SIZES},
        "pretrain": {name: getattr(profile.pretrain, name) for name in WORLD},
    }
    return {"kind": "models", "name": f"unaligned_{number:02d}", "inputs": inputs,
            "make": partial(learn_world, profile, number), "shipped": shipped(number) / STAGES[0]}


def _aligned(study: "Study", number: int, before: Path) -> dict[str, Any]:
    profile = study.profile
    names = (*WORLD, *REFUSALS)
    inputs = {"base": number, "unaligned": before,
              "pretrain": {name: getattr(profile.pretrain, name) for name in names}}
    return {"kind": "models", "name": f"base_{number:02d}", "inputs": inputs,
            "make": partial(learn_refusals, profile, number, before),
            "shipped": shipped(number) / STAGES[1]}
