"""A judge of what other models write: wider than they are, and taught the world apart from them."""

from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.study.paths import BASES
from lib.world.bases import SIZES, WORLD
from lib.world.guards import unguarded
from lib.world.pretrain import learn_world

if TYPE_CHECKING:
    from lib.study.notebook import Study


SEED = 100
"""Number of the judge, beyond those of all bases: texts, starting weights and order of its own."""
WIDER = 2
SHIPPED = BASES.parent / "judge"


def judge_model(study: "Study") -> Path:
    """The folder of the judge.

    It is `WIDER` times as wide as a base, has about four times its parameters, and never learned
    to refuse. One whose key does not fit is trained here. Of a public model it is the one that the
    profile names (`toxicity.judge`), else that model before it had a guard.
    """
    if study.profile.model.source == "public":
        return unguarded(_of(study, study.profile.toxicity.judge or study.profile.model.name))
    return study.store.build(**artefact(study))


def _of(study: "Study", name: str) -> "Study":
    """The same study of another public model."""
    other, own = copy(study), study.profile
    model = own.model.model_copy(update={"name": name})
    other.profile = own.model_copy(update={"model": model})
    return other


def artefact(study: "Study") -> dict[str, Any]:
    """Arguments of `Store.build`."""
    own = study.profile.model
    wide = own.model_copy(update={"hidden": WIDER * own.hidden, "heads": WIDER * own.heads})
    profile = study.profile.model_copy(update={"model": wide})
    inputs = {
        "judge": SEED, "history": profile.forecasting.history,
        "model": {name: getattr(wide, name) for name in SIZES},
        "pretrain": {name: getattr(profile.pretrain, name) for name in WORLD},
    }
    return {"kind": "models", "name": "judge", "inputs": inputs,
            "make": partial(learn_world, profile, SEED), "shipped": SHIPPED}
