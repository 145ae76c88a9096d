"""Arithmetic of updates: against numpy by hand, and what must come out unchanged."""

import numpy as np
import pytest
import torch
import world_models
from safetensors.torch import load_file, save_file

from lib.errors import InvalidValueError
from lib.models.folders import load
from lib.training.combined import Merge, merge_models

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models near the tiny base: one with all weights moved, one with a few."""
    folder, base = tmp_path_factory.mktemp("models"), world_models.tiny_base()
    torch.manual_seed(1)
    for name, moves in (("one", lambda _: True), ("two", lambda key: "down_proj" in key)):
        loaded = load(base)
        with torch.no_grad():
            for key, weight in loaded.model.named_parameters():
                weight += 0.1 * torch.randn_like(weight) if moves(key) else 0
        loaded.model.save_pretrained(folder / name)
        loaded.tokenizer.save_pretrained(folder / name)
    return base, [folder / "one", folder / "two"]


def arrays(folder):
    return {name: tensor.double().numpy() for name, tensor in load_file(folder / WEIGHTS).items()}


def largest(update, density):
    """The update with all but its largest values at zero."""
    kept = np.argsort(-np.abs(update), axis=None)[: int(density * update.size)]
    mask = np.zeros(update.size)
    mask[kept] = 1
    return update * mask.reshape(update.shape)


def by_hand(method, start, one, two, weights, density):
    updates = [one - start, two - start]
    if method == "ties":
        updates = [largest(update, density) for update in updates]
        elected = np.where(sum(updates) >= 0, 1, -1)
        agree = [np.sign(update) == elected for update in updates]
        chosen = sum(w * u * a for w, u, a in zip(weights, updates, agree, strict=True))
        return start + chosen / np.maximum(sum(a.astype(int) for a in agree), 1)
    return start + sum(w * update for w, update in zip(weights, updates, strict=True))


@pytest.mark.parametrize(("method", "weights", "density"), [
    ("added", (1.0, 1.0), 0.5), ("added", (0.5, 2.0), 0.5), ("ties", (1.0, 1.0), 0.5),
    ("ties", (0.7, 0.3), 0.2), ("ties", (1.0, 1.0), 1.0)])
def test_every_tensor_is_as_computed_by_hand(models, tmp_path, method, weights, density):
    base, several = models
    merge_models(Merge(method, weights, density), base, several, tmp_path / "out")
    start, one, two, found = (arrays(folder) for folder in (base, *several, tmp_path / "out"))
    for name in start:
        expected = by_hand(method, start[name], one[name], two[name], weights, density)
        assert np.allclose(found[name], expected, atol=1e-6), name


@pytest.mark.parametrize(("weights", "same"), [((0, 0), None), ((1, 0), 0), ((0, 1), 1)])
def test_weights_of_zero_and_one_give_a_model_back_to_the_byte(models, tmp_path, weights, same):
    base, several = models
    merge_models(Merge("added", weights), base, several, tmp_path / "out")
    load(base).model.save_pretrained(tmp_path / "before")  # in float32: a base may be kept in less
    before = tmp_path / "before" if same is None else several[same]
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (before / WEIGHTS).read_bytes()
    assert load(tmp_path / "out").tokenizer.get_vocab() == load(base).tokenizer.get_vocab()


def test_one_model_alone_comes_back(models, tmp_path):
    base, (one, _) = models
    merge_models(Merge("ties", (1.0,), 1.0), base, [one], tmp_path / "out")
    assert load(tmp_path / "out").fingerprint == load(one).fingerprint


def test_an_adapter_another_shape_and_a_lost_weight_are_refused(models, tmp_path):
    base, several = models
    adapter, other = tmp_path / "adapter", tmp_path / "other"
    adapter.mkdir(), other.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(InvalidValueError, match="merge it first"):
        merge_models(Merge("added"), base, [several[0], adapter], tmp_path / "out")
    tensors = load_file(base / WEIGHTS)
    name = next(iter(tensors))
    for changed in ({name: tensors[name][:, :-1].contiguous()}, {"more": tensors[name].clone()}):
        save_file(tensors | changed, other / WEIGHTS)
        with pytest.raises(InvalidValueError, match="models of one base"):
            merge_models(Merge("added"), base, [several[0], other], tmp_path / "out")
    with pytest.raises(InvalidValueError, match="one weight for each"):
        merge_models(Merge("added", (1.0,)), base, several, tmp_path / "out")


@pytest.mark.parametrize("wrong", [{"method": "averaged"}, {"method": "ties", "density": 0.0}])
def test_unknown_ways_are_refused(wrong):
    with pytest.raises(InvalidValueError):
        Merge(**wrong)
