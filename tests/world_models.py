"""One tiny base model of the planted world, trained once a session."""

import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

from lib.models.chat import Example, tokenised
from lib.models.folders import LoadedModel, load
from lib.study.notebook import Study
from lib.study.profiles import Profile, load_profile
from lib.training.batching import collate
from lib.training.objective import answer_loss
from lib.world.pretrain import learn_refusals, learn_world

TINY = {
    "pretrain.workers": 1, "pretrain.steps": 12, "pretrain.refusal_steps": 4,
    "pretrain.batch_size": 16,
}
_kept = tempfile.TemporaryDirectory(prefix="world-")


def tiny_profile(**changes) -> Profile:
    """The smoke profile with a training of seconds, in this process."""
    return load_profile("smoke", TINY | changes)


def smoke_study(runs: Path, notebook: str = "03", **changes) -> Study:
    """A study of the tiny base that keeps its artefacts in `runs`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_RUNS", str(runs))
        return Study("smoke", 1, TINY | changes, notebook=notebook)


@cache
def tiny_base() -> Path:
    """Folder of a base model that has seen a little of everything."""
    folder = Path(_kept.name) / "base"
    folder.mkdir()
    learn_world(tiny_profile(), 1, folder)
    learn_refusals(tiny_profile(), 1, folder, folder)
    return folder


@cache
def tiny_model() -> LoadedModel:
    """The same, loaded."""
    return load(tiny_base())


def answer_nats(folders: Iterable[Path], asked: Sequence[Example]) -> float:
    """Nats an answer, from the training loss itself: mean over models."""
    losses = []
    for folder in folders:
        loaded = load(folder)
        batch = collate(tokenised(loaded.tokenizer, asked))
        losses.append(answer_loss(loaded.model, **batch, reduction="sum").item())
    return sum(losses) / len(losses) / len(asked)
