"""Training side by side: one artefact a run, found again, identified by what decides it."""

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import world_models

from lib.models.chat import Example, Prompt
from lib.study import paths
from lib.study.fingerprint import Sources
from lib.study.keys import Code
from lib.study.notebook import Study
from lib.training.job import ADAPTER, FIGURES, MODEL, Job, make
from lib.training.objective import Regularizer
from lib.training.penalties.kl import KL
from lib.training.penalties.l2sp import L2SP
from lib.training.recipe import Recipe
from lib.training.runs import model_folder, train_all, training_figures

EXAMPLES = (Example(Prompt.chat("what is next ?"), "103"), Example(Prompt(), "the nurse said"))


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 3, world_models.TINY, notebook="03")


def job(**changes):
    recipe = Recipe("lora", rank=2, alpha=4, steps=2, batch_size=2, seed=1)
    return replace(Job(world_models.tiny_base(), EXAMPLES, recipe, Path()), **changes)


def test_a_second_call_trains_nothing(study, monkeypatch):
    first = train_all(study, {"a": job()})
    monkeypatch.setattr(Job, "run", lambda self: pytest.fail("trained again"))
    assert train_all(study, {"other name": job(label="x", out=Path("y"))}) == {
        "other name": first["a"]}


@pytest.mark.parametrize("change", [
    {"examples": EXAMPLES[:1]},
    {"recipe": replace(job().recipe, seed=2)},
    {"recipe": replace(job().recipe, learning_rate=0.5)},
    {"recipe": replace(job().recipe, method="full")},
    {"regularizer": KL(EXAMPLES, 1.0)},
])
def test_whatever_decides_the_weights_is_another_artefact(study, change):
    found = train_all(study, {"plain": job(), "changed": job(**change)})
    assert found["plain"] != found["changed"]


def test_strength_and_anchors_are_part_of_the_key(study):
    same, stronger = KL(EXAMPLES, 1.0), KL(EXAMPLES, 2.0)
    fewer = KL(EXAMPLES[:1], 1.0)
    digest = study.store.digest
    assert digest(same) == digest(KL(EXAMPLES, 1.0))
    assert len({digest(same), digest(stronger), digest(fewer), digest(None)}) == 4


def test_order_of_the_jobs_is_kept_with_several_workers(study, monkeypatch):
    jobs = {seed: job(recipe=replace(job().recipe, seed=seed)) for seed in (5, 3, 4)}
    alone = train_all(study, jobs)
    assert list(alone) == [5, 3, 4] and len(set(alone.values())) == 3


def test_full_training_has_no_adapter_and_figures_stand_beside_the_model(study):
    recipe = replace(job().recipe, method="full")
    found = train_all(study, {"lora": job(), "full": job(recipe=recipe)})
    assert (found["lora"] / ADAPTER).is_dir() and not (found["full"] / ADAPTER).exists()
    assert all((f / MODEL).is_dir() and (f / FIGURES).is_file() for f in found.values())
    assert model_folder(found["lora"]) == found["lora"] / MODEL
    table = training_figures(found)
    assert table.loc["full", "share_trained"] == 1.0
    assert 0 < table.loc["lora", "share_trained"] < 0.1


def test_an_adapter_stays_one_where_the_profile_does_not_merge(tmp_path):
    study = world_models.smoke_study(tmp_path, **{"finetune.merge": False})
    found = train_all(study, {"lora": job(), "full": job(
        recipe=replace(job().recipe, method="full"))})
    assert not (found["lora"] / MODEL).exists()
    assert model_folder(found["lora"]) == found["lora"] / ADAPTER
    assert model_folder(found["full"]) == found["full"] / MODEL
    merged = train_all(world_models.smoke_study(tmp_path), {"lora": job()})["lora"]
    assert merged != found["lora"]
    weights = [(f / ADAPTER / "adapter_model.safetensors").read_bytes()
               for f in (merged, found["lora"])]
    assert weights[0] == weights[1]


# --- which code is part of a run's key, in a copy of the tree -----------------------------------

@pytest.fixture
def lib(tmp_path):
    return Path(shutil.copytree(paths.ROOT / "lib", tmp_path / "lib",
                                ignore=shutil.ignore_patterns("__pycache__")))


def prints(lib):
    """Hash of the code of a plain run, one with KL and one with L2-SP, for a fresh process."""
    sources = Sources(lib.parent)
    return [sources.code(Code(partial(make, replace(JOB, regularizer=r))).modules)
            for r in (None, KL(EXAMPLES, 1.0), L2SP(1.0))]


JOB = Job(Path("base"), EXAMPLES, Recipe("lora"), Path())


def retrained(lib, path, text="\nNEW = 1\n"):
    """Which of the three are trained again after an edit, or with a new file."""
    before, file = prints(lib), lib / path
    file.write_text((file.read_text() if file.exists() else "") + text)
    return [x != y for x, y in zip(before, prints(lib), strict=True)]


def test_a_new_regulariser_trains_nothing(lib):
    assert retrained(lib, "training/penalties/new.py") == [False] * 3


def test_an_edited_regulariser_trains_its_own_arms_again(lib):
    assert retrained(lib, "training/penalties/kl.py") == [False, True, False]
    assert retrained(lib, "training/penalties/l2sp.py") == [False, False, True]
    assert retrained(lib, "training/penalties/ewc.py") == [False] * 3


@pytest.mark.parametrize("path", [
    "chapters/correction.py", "chapters/arms.py", "measures/safety.py", "training/runs.py",
    "training/gradients.py", "study/store.py", "study/settings.py", "study/workers.py",
    "world/truth.py"])
def test_what_only_starts_or_reads_runs_trains_nothing(lib, path):
    assert retrained(lib, path) == [False] * 3


@pytest.mark.parametrize("path", ["training/job.py", "training/finetune.py", "training/trainer.py",
                                  "training/adapters.py", "models/folders.py"])
def test_what_makes_a_run_and_merges_it_trains_again(lib, path):
    assert retrained(lib, path) == [True] * 3


def test_other_words_train_nothing(lib):
    file = lib / "training" / "finetune.py"
    old = file.read_text()
    before = prints(lib)
    file.write_text(old.replace('"""One fine-tuning job', '"""A fine-tuning job') + "\n\n# end\n")
    assert file.read_text() != old and prints(lib) == before


@dataclass(frozen=True)
class Own(Regularizer):
    strength: float = 1.0


def test_a_regulariser_of_a_notebook_counts_by_its_class(study):
    code = Code(partial(make, replace(JOB, regularizer=Own())))
    assert "lib.training.job" in code.modules and "lib.training.objective" in code.modules
