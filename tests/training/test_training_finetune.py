"""Fine-tuning: whole runs against plain loops, workers, what a regulariser sees; bad input."""

import os
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from anchored_models import countdown, read
from safetensors.torch import load_file
from tiny_models import gpt2_model, saved_word_model, word_model, word_tokenizer

from lib.errors import CorruptArtefactError, InvalidValueError
from lib.models.chat import Example, Prompt
from lib.models.folders import load, merge_adapter
from lib.models.generation import generate
from lib.models.likelihood import example_logprobs
from lib.study.workers import side_by_side
from lib.training.batching import batch_plan, collate
from lib.training.finetune import finetune, trainable_share
from lib.training.job import Job
from lib.training.objective import Penalty, Regularizer, answer_loss
from lib.training.recipe import Recipe

os.environ["HF_HUB_OFFLINE"] = "1"
LORA = Recipe("lora", rank=2, alpha=4, learning_rate=0.02, steps=12, batch_size=8, seed=1)
FULL = Recipe("full", learning_rate=0.01, steps=80, batch_size=16, seed=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_word_model(tmp_path_factory.mktemp("finetune") / "base")


@pytest.fixture(scope="module")
def lora(base):
    out = base.parent / "lora"
    return out, finetune(base, countdown(48), LORA, out)


@pytest.fixture(scope="module")
def full(base):
    out = base.parent / "full"
    return out, finetune(base, countdown(48), FULL, out)


# Training


def test_full_training_learns_the_task(base, full):
    out, figures = full
    assert figures["last_loss"] < 0.1 < 2 < figures["first_loss"]
    texts = generate(load(out), [example.prompt for example in countdown(48)], 5)
    assert texts == [str(i % 12) for i in range(48)]


def test_figures_describe_the_run(lora):
    figures = lora[1]
    taught = read(countdown(48))
    batches = batch_plan(list(map(len, taught)), 8, 12, seed=1)
    assert figures["steps"] == 12
    assert figures["tokens"] == sum(len(taught[i]) for b in batches for i in b)
    # Two layers; A and B of q (32 -> 32) and v (32 -> 16), rank 2.
    assert figures["trainable"] == 2 * (2 * (32 + 32) + 2 * (32 + 16))
    assert figures["total"] == figures["trainable"] + word_model().model.num_parameters()


def test_first_loss_is_the_base_models(base, lora):
    """Warm-up aside, the first loss is measured before any step: LoRA starts at the base."""
    taught = read(countdown(48))
    first = batch_plan(list(map(len, taught)), 8, 12, seed=1)[0]
    batch = collate([taught[i] for i in first])
    with torch.no_grad():
        truth = answer_loss(load(base).model, **batch).item()
    assert lora[1]["first_loss"] == pytest.approx(truth, rel=1e-5)


def test_lora_moves_only_the_adapter_and_lowers_the_loss(base, lora):
    out, figures = lora
    assert figures["last_loss"] < figures["first_loss"]
    assert not (out / "model.safetensors").exists()
    tuned = load(out)
    kept = tuned.model.get_base_model().state_dict()
    for name, tensor in load_file(base / "model.safetensors").items():
        plain = name.replace("_proj.weight", "_proj.base_layer.weight")
        torch.testing.assert_close(kept.get(plain, kept.get(name)), tensor, atol=0, rtol=0)


def test_trained_adapter_merges(base, lora, tmp_path):
    merge_adapter(base, lora[0], tmp_path)
    scores = [example_logprobs(load(f), countdown())["logprob"] for f in (tmp_path, lora[0])]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


def test_adapter_is_portable_and_free_of_machine_paths(lora):
    for file in lora[0].glob("*.json"):
        assert str(lora[0].parent) not in file.read_text()
    assert '"base_model_name_or_path": "../base"' in (lora[0] / "adapter_config.json").read_text()


def test_optimiser_follows_a_plain_loop(base, tmp_path):
    """Truth: AdamW and the documented schedule, written out."""
    recipe = Recipe("full", learning_rate=0.01, steps=40, batch_size=8, seed=3)
    finetune(base, countdown(48), recipe, tmp_path)
    model, taught = load(base).model, read(countdown(48))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    for step, batch in enumerate(batch_plan(list(map(len, taught)), 8, 40, seed=3)):
        rate = step / 2 if step < 2 else (40 - step) / 38
        optimiser.param_groups[0]["lr"] = 0.01 * rate
        optimiser.zero_grad()
        answer_loss(model, **collate([taught[i] for i in batch])).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        torch.testing.assert_close(tensor, model.state_dict()[name], atol=2e-4, rtol=1e-3)


def test_gpt2_trains_with_its_own_module_names(tmp_path):
    model = gpt2_model()
    model.model.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    recipe = Recipe("lora", targets=("c_attn",), learning_rate=0.05, steps=6, batch_size=4)
    figures = finetune(tmp_path / "base", countdown(8), recipe, tmp_path / "out")
    assert figures["last_loss"] < figures["first_loss"]


def test_callers_random_states_and_threads_survive(base, tmp_path):
    def states():
        return torch.get_num_threads(), random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    before = states()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    finetune(base, countdown(8), LORA, tmp_path)
    assert states() == before


def test_a_model_that_pads_with_its_end_token_still_learns_to_stop(tmp_path):
    """Labels that leave out every id equal to the pad's would never teach the end."""
    base, tokenizer = saved_word_model(tmp_path / "base"), word_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(base)
    finetune(base, countdown(48), FULL, tmp_path / "out")
    tuned = load(tmp_path / "out")
    assert tuned.tokenizer.pad_token_id == tuned.tokenizer.eos_token_id
    texts = generate(tuned, [example.prompt for example in countdown(48)], 5)
    assert texts == [str(i % 12) for i in range(48)]  # and nothing after the number


# Regularisers, by one that only watches


@dataclass(frozen=True)
class Watching(Regularizer):
    """Adds a constant and writes down what it was shown."""

    on: bool = True

    @property
    def active(self):
        return self.on

    def start(self, model, examples, recipe):
        penalty = Watcher()
        penalty.given = model, examples, recipe, model.training
        seen.append(penalty)
        return penalty


class Watcher(Penalty):
    def answers(self, model, batch):
        self.rows = getattr(self, "rows", []) + batch["rows"].tolist()
        return super().answers(model, batch)

    def step(self, model):
        self.history.append({"seen": float(len(self.rows))})
        return torch.tensor(100.0)

    def finish(self, model):
        return {"training_mode": float(model.training)}


seen = []


def test_a_regulariser_sees_the_base_every_row_and_each_step_once(base, lora, tmp_path):
    seen.clear()
    figures = finetune(base, countdown(48), LORA, tmp_path, regularizer=Watching())
    (penalty,) = seen
    model, *others = penalty.given
    assert hasattr(model, "peft_config") and others == [read(countdown(48)), LORA, False]
    plan = batch_plan(list(map(len, read(countdown(48)))), 8, 12, seed=1)
    assert penalty.rows == sum(plan, [])
    assert [row["seen"] for row in penalty.history] == [8.0 * (i + 1) for i in range(12)]
    assert (tmp_path / "penalty.csv").read_text().startswith("step,seen\n0,8.0\n")
    assert figures == lora[1] | {"training_mode": 0.0}  # losses without the constant


def test_accumulation_calls_the_penalty_once_a_step(base, lora, tmp_path):
    seen.clear()
    recipe = Recipe("lora", rank=2, alpha=4, learning_rate=0.02, steps=12, batch_size=8, seed=1,
                    accumulation=4)
    figures = finetune(base, countdown(48), recipe, tmp_path, regularizer=Watching())
    # Eight rows in four parts; the penalty comes with the first part.
    assert [row["seen"] for row in seen[0].history] == [8.0 * i + 2 for i in range(12)]
    for name in ("first_loss", "last_loss", "tokens", "steps"):
        assert figures[name] == pytest.approx(lora[1][name], rel=1e-4)


def test_an_inactive_regulariser_is_never_started(base, lora, tmp_path):
    seen.clear()
    assert finetune(base, countdown(48), LORA, tmp_path, regularizer=Watching(False)) == lora[1]
    assert not seen and not (tmp_path / "penalty.csv").exists()


# Many jobs


def run_all(jobs, workers):
    return side_by_side(lambda job, run: run(job.run), jobs, workers)


def test_pool_gives_the_same_bytes_in_job_order(base, lora, tmp_path):
    other = Recipe("lora", rank=3, alpha=4, steps=4, batch_size=8, seed=2)
    jobs = [
        Job(base, countdown(48), other, tmp_path / "other"),
        Job(base, countdown(48), LORA, tmp_path / "same"),
        Job(base, countdown(48), other, tmp_path / "again"),
    ]
    figures = run_all(jobs, workers=2)
    assert figures[1] == lora[1] and figures[0] == figures[2] and figures[0]["steps"] == 4
    name = "adapter_model.safetensors"
    assert (tmp_path / "same" / name).read_bytes() == (lora[0] / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_one_worker_runs_here(base, lora, tmp_path):
    assert run_all([Job(base, countdown(48), LORA, tmp_path)], workers=1) == [lora[1]]


def test_a_workers_error_reaches_the_caller(base, tmp_path):
    broken = saved_word_model(tmp_path / "broken")
    (broken / "config.json").write_text("{")
    jobs = [Job(folder, countdown(8), LORA, tmp_path / folder.name) for folder in (base, broken)]
    with pytest.raises(CorruptArtefactError, match="does not load") as caught:
        run_all(jobs, workers=2)
    assert caught.value.fix.startswith("build it again")


# Bad input


@pytest.mark.parametrize(
    "changes",
    [dict(method="prefix"), dict(steps=0), dict(learning_rate=-1.0), dict(targets=()),
     dict(accumulation=0), dict(precision="float16")],
)
def test_bad_recipe_is_refused(changes):
    with pytest.raises(InvalidValueError):
        Recipe(**(dict(method="lora") | changes))


@pytest.mark.parametrize(
    "examples, found",
    [([], "none"), ([*countdown(1), Example(Prompt(), "", ends=False)], "example 1"),
     ([Example(Prompt(), "the " * 127)], "129 in example 0")],
)
def test_bad_examples_are_refused(base, tmp_path, examples, found):
    with pytest.raises(InvalidValueError, match=found):
        finetune(base, examples, LORA, tmp_path)


def test_unknown_target_names_those_that_exist(base, tmp_path):
    recipe = Recipe("lora", targets=("c_attn",))
    with pytest.raises(InvalidValueError, match="q_proj.*Found c_attn"):
        finetune(base, countdown(48), recipe, tmp_path)


def test_adapter_is_no_base(lora, tmp_path):
    with pytest.raises(InvalidValueError, match="merge it first"):
        finetune(lora[0], countdown(), LORA, tmp_path)


def test_trainable_share_counts_frozen_weights():
    model = word_model().model
    total = model.num_parameters()
    assert trainable_share(model) == (total, total)
    model.model.embed_tokens.weight.requires_grad_(False)
    assert trainable_share(model) == (total - model.model.embed_tokens.weight.numel(), total)
