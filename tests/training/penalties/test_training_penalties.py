"""What every regulariser must do inside `finetune`, whatever it penalises."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from anchored_models import countdown, letters
from safetensors.torch import load_file, save_file
from tiny_models import saved_word_model
from transformers import LlamaForCausalLM, TrainerCallback
from transformers.models.llama.modeling_llama import LlamaMLP

from lib.study.workers import side_by_side
from lib.training import trainer
from lib.training.finetune import finetune
from lib.training.job import Job
from lib.training.objective import Regularizer
from lib.training.penalties.adaptive import AdaptiveKL
from lib.training.penalties.ewc import EWC
from lib.training.penalties.kl import KL
from lib.training.penalties.l2sp import L2SP
from lib.training.penalties.mixing import Mixing
from lib.training.penalties.projection import Projection
from lib.training.penalties.tokenwise import TokenWise
from lib.training.recipe import Recipe
from lib.training.trainer import AnswerTrainer

RECIPES = {
    "full": Recipe("full", learning_rate=3e-3, steps=4, batch_size=12, seed=1),
    "lora": Recipe("lora", learning_rate=1e-2, steps=4, batch_size=12, seed=1),
}
WEIGHTS = {"full": "model.safetensors", "lora": "adapter_model.safetensors"}
STRONG = {
    "kl": KL(letters(), 5.0, per_step=6),
    "adaptive": AdaptiveKL(letters(), budget=0.001, initial=5.0, per_step=6),
    "tokenwise": TokenWise(),
    "l2sp": L2SP(5.0),
    "ewc": EWC(letters(), 50.0),
    "mixing": Mixing(letters(), per_step=6),
}
ZERO = {
    "kl": KL(letters(), 0.0),
    "tokenwise": TokenWise((0.0,)),
    "l2sp": L2SP(0.0),
    "ewc": EWC(letters(), 0.0),
    "mixing": Mixing(letters(), 0.0),
    "projection": Projection(Path("unused"), 0.0),
    "nothing": Regularizer(),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_word_model(tmp_path_factory.mktemp("runs") / "base")


@pytest.fixture(scope="module")
def plain(base):
    """Weights and figures of plain training, by method."""
    found = {}
    for method, recipe in RECIPES.items():
        out = base.parent / method
        figures = finetune(base, countdown(), recipe, out)
        found[method] = (out / WEIGHTS[method]).read_bytes(), figures
    return found


@pytest.mark.parametrize("name", ZERO)
@pytest.mark.parametrize("method", RECIPES)
def test_zero_strength_is_plain_training_to_the_last_bit(base, plain, method, name, tmp_path):
    figures = finetune(base, countdown(), RECIPES[method], tmp_path, "", ZERO[name])
    assert ((tmp_path / WEIGHTS[method]).read_bytes(), figures) == plain[method]
    assert not (tmp_path / "penalty.csv").exists()


@pytest.mark.parametrize("method", RECIPES)
def test_machinery_at_vanishing_strength_disturbs_nothing(base, plain, method, tmp_path):
    """Anchors pass through the model in every step; too weak to move the last bit of a weight."""
    regularizer = KL(letters(), 1e-30)
    figures = finetune(base, countdown(), RECIPES[method], tmp_path, "", regularizer)
    assert (tmp_path / WEIGHTS[method]).read_bytes() == plain[method][0]
    assert figures["drift"] > 0 and len(pd.read_csv(tmp_path / "penalty.csv")) == 4


@pytest.mark.parametrize("name", STRONG)
@pytest.mark.parametrize("method", RECIPES)
def test_a_positive_strength_changes_the_weights_and_not_the_first_loss(
    base, plain, method, name, tmp_path
):
    """No option is silently ignored; the reported loss is cross-entropy without the penalty."""
    figures = finetune(base, countdown(), RECIPES[method], tmp_path, "", STRONG[name])
    assert (tmp_path / WEIGHTS[method]).read_bytes() != plain[method][0]
    assert figures["first_loss"] == pytest.approx(plain[method][1]["first_loss"], rel=1e-5)
    assert plain[method][1].keys() <= figures.keys()


def uneven():
    """Answers of two, four and six tokens, so that parts of a step differ in answer tokens."""
    return [replace(e, answer=" ".join([e.answer] * (1 + 2 * (i % 3))))
            for i, e in enumerate(countdown())]


def gradients(base, method, regularizer, out, monkeypatch, **memory):
    """Every weight's gradient in each step, as the optimiser sees it."""
    seen = []

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **_):
            seen.append({n: p.grad.clone() for n, p in model.named_parameters()
                         if p.grad is not None})

    class Watched(AnswerTrainer):
        def __init__(self, *args):
            super().__init__(*args)
            self.add_callback(Watch())

    monkeypatch.setattr(trainer, "AnswerTrainer", Watched)
    recipe = replace(RECIPES[method], steps=3, **memory)
    figures = finetune(base, uneven(), recipe, out, "", regularizer)
    return seen, figures


def apart(one, other):
    """Norm of the difference of two sets of gradients, over the norm of the first."""
    squares = [((one[n] - other[n]).double().square().sum(), one[n].double().square().sum())
               for n in one]
    difference, size = map(sum, zip(*squares, strict=True))
    return float((difference / size) ** 0.5)


@pytest.mark.parametrize("name", ["plain", *STRONG])
@pytest.mark.parametrize("method", RECIPES)
def test_accumulation_leaves_gradients_as_they_are(base, method, name, tmp_path, monkeypatch):
    """Answers of unequal length, so that a mean of means would differ; penalties count once."""
    examples = [(STRONG | {"plain": None})[name]]
    whole, one = gradients(base, method, *examples, tmp_path / "1", monkeypatch)
    parts, four = gradients(base, method, *examples, tmp_path / "4", monkeypatch, accumulation=4)
    assert len(whole) == len(parts) == 3
    assert apart(whole[0], parts[0]) < 1e-6  # later steps start from weights that Adam moved
    for a, b in zip(whole, parts, strict=True):
        assert a.keys() == b.keys()
        scale = max(g.abs().max() for g in a.values())
        for key in a:
            torch.testing.assert_close(a[key], b[key], atol=2e-3 * scale.item(), rtol=0)
    assert one["first_loss"] == pytest.approx(four["first_loss"], rel=1e-5)
    assert one["tokens"] == four["tokens"] and one["steps"] == four["steps"] == 3


@pytest.mark.parametrize("name", ["plain", *STRONG])
@pytest.mark.parametrize("method", RECIPES)
def test_checkpointing_leaves_gradients_as_they_are(base, method, name, tmp_path, monkeypatch):
    regularizer, passes = (STRONG | {"plain": None})[name], []
    block = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward",
                        lambda *a, **k: (passes.append(torch.is_grad_enabled()), block(*a, **k))[1])
    kept, plain = gradients(base, method, regularizer, tmp_path / "a", monkeypatch)
    usual = sum(passes)
    again, saving = gradients(base, method, regularizer, tmp_path / "b", monkeypatch,
                              checkpointing=True)
    assert sum(passes) > 2 * usual  # the backward pass goes through the blocks once more
    for a, b in zip(kept, again, strict=True):
        for key in a:
            torch.testing.assert_close(a[key], b[key], atol=1e-6, rtol=1e-5)
    assert saving == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("name", ["plain", *STRONG])
@pytest.mark.parametrize("method", RECIPES)
def test_mixed_precision_learns_the_same_and_stores_full_precision(base, method, name, tmp_path):
    """A bfloat16 has eight significant bits: losses agree to about one in a hundred."""
    regularizer = (STRONG | {"plain": None})[name]
    full = finetune(base, countdown(), RECIPES[method], tmp_path / "a", "", regularizer)
    recipe = replace(RECIPES[method], precision="bfloat16")
    half = finetune(base, countdown(), recipe, tmp_path / "b", "", regularizer)
    stored = [load_file(tmp_path / out / WEIGHTS[method]) for out in "ab"]
    assert {w.dtype for w in stored[1].values()} == {torch.float32}
    assert any(not torch.equal(stored[0][n], stored[1][n]) for n in stored[0])
    for figure in ("first_loss", "last_loss"):
        assert half[figure] == pytest.approx(full[figure], rel=0.02)


@pytest.mark.parametrize("method", RECIPES)
def test_in_mixed_precision_the_base_has_not_drifted_from_itself(base, method, tmp_path):
    """Reference and step see the same rounded products, so the first drift is next to nothing."""
    recipe = replace(RECIPES[method], precision="bfloat16")
    finetune(base, countdown(), recipe, tmp_path, "", KL(letters(), 1.0, per_step=6))
    drift = pd.read_csv(tmp_path / "penalty.csv")["drift"]
    assert drift[0] < 1e-3 < drift.max()


def test_every_regulariser_travels_to_a_worker(base, tmp_path):
    """A pool gives the same bytes as this process."""
    recipe = RECIPES["lora"]
    jobs = [Job(base, countdown(), recipe, tmp_path / name, name, STRONG[name])
            for name in ("kl", "adaptive", "ewc")]
    figures = side_by_side(lambda job, run: run(job.run), jobs, 2)
    for job, there in zip(jobs, figures, strict=True):
        here = finetune(base, countdown(), recipe, tmp_path / "here", "", job.regularizer)
        assert here == there
        assert ((tmp_path / "here" / WEIGHTS["lora"]).read_bytes()
                == (job.out / WEIGHTS["lora"]).read_bytes())


def test_only_one_model_is_alive_during_training(base, tmp_path, monkeypatch):
    counts = []

    class Counting(AnswerTrainer):
        def compute_loss(self, *args, **kwargs):
            gc.collect()
            counts.append(sum(type(x) is LlamaForCausalLM for x in gc.get_objects()))
            return super().compute_loss(*args, **kwargs)

    monkeypatch.setattr(trainer, "AnswerTrainer", Counting)
    recipe = Recipe("full", learning_rate=1e-3, steps=2, batch_size=8)
    for regularizer in (KL(letters()), EWC(letters()), L2SP(1.0)):
        finetune(base, countdown(), recipe, tmp_path, "", regularizer)
    # What was alive before the run is frozen, and not among the collector's objects.
    assert counts == [1] * 6


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", RECIPES)
def test_no_model_stays_in_memory_after_a_run(base, method, precision, tmp_path, monkeypatch):
    """On a GPU, models of earlier runs would leave no room for the next."""
    models = []

    class Remembering(AnswerTrainer):
        def __init__(self, model, *args):
            super().__init__(model, *args)
            models.append(weakref.ref(model))

    monkeypatch.setattr(trainer, "AnswerTrainer", Remembering)
    gc.disable()  # or it might be collected by chance
    try:
        recipe = replace(RECIPES[method], precision=precision)
        finetune(base, countdown(), recipe, tmp_path, "", AdaptiveKL(letters()))
    finally:
        gc.enable()
    assert [model() for model in models] == [None]


def test_weights_far_from_alignment_are_pulled_in_by_every_weight_spring(base, tmp_path):
    """A spring strong enough stops training: the limit that a formula with a wrong sign misses."""
    start = load_file(base / WEIGHTS["full"])

    def moved(regularizer, name):
        finetune(base, countdown(), RECIPES["full"], tmp_path / name, "", regularizer)
        after = load_file(tmp_path / name / WEIGHTS["full"])
        return sum(float((after[n] - start[n]).square().sum()) for n in start) ** 0.5

    free = moved(None, "free")
    assert moved(L2SP(1e6), "stiff") < 0.7 * free


def test_projection_runs_beside_others_in_a_key_and_a_job(base, tmp_path):
    tensors = {n: w + 0.05 * torch.randn_like(w) for n, w in
               load_file(base / WEIGHTS["full"]).items()}
    (tmp_path / "unaligned").mkdir()
    save_file(tensors, tmp_path / "unaligned" / WEIGHTS["full"])
    job = Job(base, countdown(), RECIPES["lora"], tmp_path / "out", "p",
              Projection(tmp_path / "unaligned", 1.0))
    assert job.run()["projected"] == 4
