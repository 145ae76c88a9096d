"""Projection: updates by hand, full and LoRA, and models that cannot serve."""

import numpy as np
import pytest
import torch
from anchored_models import TOKENIZER, countdown
from safetensors.torch import load_file, save_file
from tiny_models import saved_word_model
from transformers import GPT2Config, GPT2LMHeadModel

from lib.errors import InvalidValueError
from lib.models.folders import load
from lib.training.finetune import finetune
from lib.training.penalties.projection import Projection
from lib.training.recipe import Recipe

LORA = Recipe("lora", learning_rate=0.02, steps=6, batch_size=8, seed=1)
FULL = Recipe("full", learning_rate=0.01, steps=6, batch_size=8, seed=1)
FILE = "model.safetensors"


def displaced(base, out, rank=3, only=("_proj", "c_attn")):
    """A copy of a base whose matrices lie a low-rank step away: the model before alignment."""
    tensors, rng = load_file(base / FILE), np.random.default_rng(0)
    for name, w in tensors.items():
        if any(part in name for part in only) and w.ndim == 2:
            step = rng.normal(size=(w.shape[0], rank)) @ rng.normal(size=(rank, w.shape[1]))
            tensors[name] = w + 0.1 * torch.from_numpy(step).float()
    out.mkdir()
    save_file(tensors, out / FILE)
    return out


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_word_model(tmp_path_factory.mktemp("projection") / "base")


@pytest.fixture(scope="module")
def unaligned(base):
    return displaced(base, base.parent / "unaligned")


def by_hand(update, v):
    """C D and the cosine with D, in float64."""
    c = v @ v.T / np.linalg.norm(v)
    projected = c @ update
    norms = np.linalg.norm(projected) * np.linalg.norm(update)
    return projected, (projected * update).sum() / norms


def array(tensor):
    return tensor.double().numpy()


def expected(plain, start, unaligned, threshold):
    """Full weights after projection, from the folders of plain training, base and unaligned."""
    cosines, result = {}, {}
    for name, w0 in start.items():
        v = array(w0 - unaligned[name])
        update = array(plain[name] - w0)
        if v.any():
            projected, cosines[name] = by_hand(update, v)
            update = projected if cosines[name] <= threshold else update
        result[name] = array(w0) + update
    return result, cosines


def test_full_update_is_projected_where_the_cosine_is_low(base, unaligned, tmp_path):
    finetune(base, countdown(), FULL, tmp_path / "plain")
    folders = [load_file(f / FILE) for f in (tmp_path / "plain", base, unaligned)]
    _, cosines = expected(*folders, 0)
    threshold = float(np.median(list(cosines.values())))
    figures = finetune(base, countdown(), FULL, tmp_path / "out", "",
                       Projection(unaligned, threshold))
    truth, _ = expected(*folders, threshold)
    assert len(cosines) == 14  # seven matrices a layer; the head is tied, the embedding is none
    assert figures["matrices"] == 14 and figures["projected"] == pytest.approx(7, abs=1)
    assert figures["cosine"] == pytest.approx(np.mean(list(cosines.values())), abs=1e-4)
    for name, tensor in load_file(tmp_path / "out" / FILE).items():
        np.testing.assert_allclose(tensor, truth[name], atol=1e-5)


def test_adapter_keeps_a_and_projects_b(base, unaligned, tmp_path):
    finetune(base, countdown(), LORA, tmp_path / "plain")
    figures = finetune(base, countdown(), LORA, tmp_path / "out", "", Projection(unaligned, 1.0))
    assert figures["projected"] == figures["matrices"] == 4
    name = "adapter_model.safetensors"
    plain, ours = (load_file(tmp_path / f / name) for f in ("plain", "out"))
    start, before = load_file(base / FILE), load_file(unaligned / FILE)
    for key, tensor in ours.items():
        if "lora_A" in key:
            assert torch.equal(tensor, plain[key])
            continue
        stem = key.removeprefix("base_model.model.").replace(".lora_B.weight", ".weight")
        v = array(start[stem] - before[stem])
        truth, _ = by_hand(array(plain[key]), v)
        np.testing.assert_allclose(tensor, truth, atol=1e-6)
        assert not torch.allclose(tensor, plain[key], atol=1e-4)


def test_lora_threshold_compares_the_products(base, unaligned, tmp_path):
    """Below every cosine nothing changes; the cosine is that of C B A and B A."""
    finetune(base, countdown(), LORA, tmp_path / "plain")
    plain = load(tmp_path / "plain").model
    start, before = load_file(base / FILE), load_file(unaligned / FILE)
    cosines = []
    for name, layer in plain.named_modules():
        if hasattr(layer, "get_delta_weight"):
            stem = name.removeprefix("base_model.model.") + ".weight"
            update = array(layer.get_delta_weight("default").detach())
            cosines.append(by_hand(update, array(start[stem] - before[stem]))[1])
    between = (min(cosines) + sorted(cosines)[1]) / 2
    rule = Projection(unaligned, between)
    figures = finetune(base, countdown(), LORA, tmp_path / "out", "", rule)
    assert figures["projected"] == 1 and figures["cosine"] == pytest.approx(np.mean(cosines))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_gpt2_stores_its_matrices_the_other_way_round(method, tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(TOKENIZER), n_layer=1, n_embd=16, n_head=2, n_positions=32,
                        initializer_range=0.2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    TOKENIZER.save_pretrained(tmp_path / "base")
    before = displaced(tmp_path / "base", tmp_path / "unaligned", only=("c_attn.weight",))
    recipe = Recipe(method, targets=("c_attn",), learning_rate=0.02, steps=4, batch_size=8)
    rule = Projection(before, 1.0)
    for out, regularizer in (("plain", None), ("out", rule)):
        finetune(tmp_path / "base", countdown(), recipe, tmp_path / out, "", regularizer)
    start = load_file(tmp_path / "base" / FILE)
    name = "transformer.h.0.attn.c_attn.weight"

    def update(folder):
        model = load(tmp_path / folder).model
        merged = model.merge_and_unload() if method == "lora" else model
        return array(merged.state_dict()[name] - start[name]).T  # (outputs, inputs)

    v = array(start[name] - load_file(before / FILE)[name]).T
    np.testing.assert_allclose(update("out"), by_hand(update("plain"), v)[0], atol=1e-5)


def test_unaligned_model_must_differ(base, tmp_path):
    with pytest.raises(InvalidValueError, match="none that does"):
        finetune(base, countdown(), LORA, tmp_path, "", Projection(base))


def test_unaligned_model_must_have_the_same_matrices(base, tmp_path):
    (tmp_path / "other").mkdir()
    save_file({"x": torch.ones(2)}, tmp_path / "other" / FILE)
    with pytest.raises(InvalidValueError, match=r"q_proj.weight of shape \(32, 32\).*Found none"):
        finetune(base, countdown(), LORA, tmp_path / "out", "", Projection(tmp_path / "other"))


def test_missing_folder_is_found_before_training(base, tmp_path):
    with pytest.raises(InvalidValueError, match="no folder"):
        finetune(base, countdown(), LORA, tmp_path / "out", "", Projection(tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()
