"""Step and batch sizes of the benign task, with the loss by another path."""

import pytest
import world_models

from lib.chapters import attacks as doses
from lib.chapters import attacks as rates
from lib.chapters.attacks import VALIDATION, Attack, task_questions
from lib.models.chat import tokenised
from lib.models.folders import load
from lib.training.batching import collate
from lib.training.objective import answer_loss


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "05", arm_seeds=2)


def loss_by_hand(study, attack):
    """Mean over tokens, times tokens, over answers; then over training seeds."""
    asked = task_questions(study.profile.safety.questions, study.seed + VALIDATION)
    several = doses.attacked(study, world_models.tiny_base(), [attack])
    losses = []
    for folder in next(iter(several.values())).values():
        loaded = load(folder)
        batch = collate(tokenised(loaded.tokenizer, asked))
        losses.append(answer_loss(loaded.model, **batch, reduction="sum").item())
    return sum(losses) / len(losses) / len(asked)


def test_step_sizes_of_the_benign_task_come_with_its_loss(study):
    found = rates.rate_rows(study, world_models.tiny_base(), "lora")
    tried = study.profile.safety.learning_rates["lora"]
    losses = found[found["metric"] == "task_loss"].set_index("dose")["value"]
    assert list(losses.index) == tried
    refused = found[found["metric"] == "refusal_rate"]
    assert list(refused["dose"]) == [0.0, *tried] and set(found["arm"]) == {"lora"}
    last = loss_by_hand(study, Attack("benign", "lora", learning_rate=tried[-1]))
    assert losses[tried[-1]] == pytest.approx(last, rel=1e-4)


def test_a_grid_crosses_step_and_batch_sizes_on_the_same_number_of_examples(study):
    given = study.profile.safety
    found = rates.grid_rows(study, world_models.tiny_base(), "full")
    refused = found[found["metric"] == "refusal_rate"]
    assert list(zip(refused["rate"], refused["batch"], strict=True)) == [(0.0, 0)] + [
        (step, size) for step in given.learning_rates["full"] for size in given.batch_sizes]
    assert set((refused["steps"] * refused["batch"])[1:]) == {given.benign_steps * given.batch_size}
    losses = found[found["metric"] == "task_loss"].set_index(["rate", "batch"])["value"]
    cell = given.learning_rates["full"][-1], 5
    by_hand = loss_by_hand(study, Attack("benign", learning_rate=cell[0], batch_size=5, steps=6))
    assert losses[cell] == pytest.approx(by_hand, rel=1e-4)
