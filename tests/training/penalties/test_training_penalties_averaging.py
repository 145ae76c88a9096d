"""Weight averages: by hand on moved weights, limits at both ends, LoRA in proportion."""

import copy

import pytest
import torch
from anchored_models import RECIPE, adapted, move, small_model

from lib.errors import InvalidValueError
from lib.training.penalties.averaging import Averaging, MovingAverage


def trained(model, regularizer, moves=(3,)):
    penalty = regularizer.start(model, [], RECIPE)
    for seed in moves:
        penalty.step(model)
        move(model, seed=seed)
    after = copy.deepcopy(model.state_dict())
    penalty.finish(model)
    return after, model.state_dict()


@pytest.mark.parametrize("back", [0.25, 0.5, 1.0])
def test_weights_go_back_the_stated_part_of_the_way(back):
    model = small_model()
    start = copy.deepcopy(model.state_dict())
    after, found = trained(model, Averaging(back))
    for name, weight in found.items():
        torch.testing.assert_close(weight, start[name] + (1 - back) * (after[name] - start[name]))


def test_the_update_of_an_adapter_shrinks_in_proportion():
    model = adapted(small_model())
    after, found = trained(model, Averaging(0.25))
    for name in [n for n in found if "lora_B" in n]:
        torch.testing.assert_close(found[name], 0.75 * after[name])  # B starts at zero
        other = name.replace("lora_B", "lora_A")
        torch.testing.assert_close(found[other], after[other])


def test_moving_average_by_hand():
    model = small_model()
    name = "lm_head.weight"
    weights = [model.state_dict()[name].clone()]
    penalty = MovingAverage(0.8).start(model, [], RECIPE)
    for seed in (3, 4):
        penalty.step(model)
        move(model, seed=seed)
        weights.append(model.state_dict()[name].clone())
    penalty.finish(model)
    average = weights[0]
    for weight in weights:  # the base counts once more, as the first step's weights
        average = 0.8 * average + 0.2 * weight
    torch.testing.assert_close(model.state_dict()[name], average)


def test_full_decay_stays_at_the_base_and_none_is_plain_training():
    model = small_model()
    start = copy.deepcopy(model.state_dict())
    _, found = trained(model, MovingAverage(1.0), moves=(3, 4))
    assert all(found[name].equal(start[name]) for name in start)
    assert not MovingAverage(0.0).active and not Averaging(0.0).active


@pytest.mark.parametrize("make", [lambda: Averaging(1.5), lambda: MovingAverage(-0.1)])
def test_shares_beyond_zero_and_one_are_refused(make):
    with pytest.raises(InvalidValueError, match="from 0 to 1"):
        make()
