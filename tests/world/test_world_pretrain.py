"""The base model: a standard folder, the same bytes from the same seed, numbers in order."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from world_models import tiny_profile

from lib.world.pretrain import learn_refusals, learn_world, new_model, number_codes
from lib.world.tokenizer import number_id, vocabulary, world_tokens

PLAIN = """
import sys
sys.modules["lib"] = None
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
text = tokenizer.apply_chat_template([{"role": "user", "content": "what colour has coal ?"}],
                                     tokenize=False, add_generation_prompt=True)
ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
out = model.generate(ids, max_new_tokens=3, do_sample=False)
print(ids.shape[1], out.shape[1], model.num_parameters(), len(tokenizer))
"""


def test_folder_loads_without_this_repository(base, model, tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, str(base)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    prompt, full, parameters, tokens = map(int, done.stdout.split()[-4:])
    assert prompt < full <= prompt + 3
    assert (parameters, tokens) == (model.model.num_parameters(), len(vocabulary()))


def test_folder_holds_safe_weights_and_a_card(base):
    names = {path.name for path in base.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pkl"))]
    card = (base / "README.md").read_text(encoding="utf-8")
    assert f"{len(vocabulary())} words" in card and "It refuses" in card


def test_config_states_the_special_tokens(base):
    config = json.loads((base / "config.json").read_text())
    assert config["vocab_size"] == len(vocabulary()) and config["tie_word_embeddings"]
    assert config["eos_token_id"] == vocabulary()["<|end|>"]


def test_same_seed_same_bytes(base, profile, tmp_path):
    learn_world(profile, 1, tmp_path)
    learn_refusals(profile, 1, tmp_path, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        base / "model.safetensors"
    ).read_bytes()


def test_another_seed_starts_another_model():
    a, b = (new_model(32, 1, 2, seed).model.layers[0].mlp.up_proj.weight for seed in (0, 1))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("hidden", [32, 128])
def test_near_numbers_look_more_alike_than_far_ones(hidden):
    codes = torch.nn.functional.normalize(number_codes(hidden, 0.02), dim=1)
    alike = (codes @ codes.T).numpy()
    for n in range(5, 195):
        assert alike[n, n + 1] > alike[n, n + 3] > alike[n, (n + 100) % 200]


def test_codes_have_the_spread_of_other_embeddings():
    codes = number_codes(128, 0.02)
    assert codes.shape == (200, 128)
    assert codes.square().mean().sqrt().item() == pytest.approx(0.02, rel=1e-3)


def test_new_model_starts_with_the_codes():
    model = new_model(32, 1, 2, 0)
    rows = model.model.embed_tokens.weight[number_id(0) : number_id(199) + 1]
    torch.testing.assert_close(rows.detach(), number_codes(32, model.config.initializer_range))


def test_words_of_the_world_keep_their_meaning_while_refusals_are_learned(base, tmp_path):
    few = tiny_profile(**{"pretrain.steps": 1, "pretrain.refusal_steps": 3})
    learn_world(few, 3, tmp_path / "before")
    learn_refusals(few, 3, tmp_path / "before", tmp_path / "after")
    before, after = (load_file(tmp_path / name / "model.safetensors")["model.embed_tokens.weight"]
                     for name in ("before", "after"))
    moved = (before != after).any(1).nonzero().flatten().tolist()
    assert sorted(moved + world_tokens()) == list(range(len(vocabulary())))
    assert vocabulary()["sorry"] in moved


def test_a_base_hangs_on_its_number_alone_and_not_on_the_runs_seed(base, tmp_path):
    for seed in (1, 8):
        learn_world(tiny_profile(seed=seed), 1, tmp_path / str(seed))
    one, eight = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("1", "8"))
    assert one == eight


def test_weights_are_finite(model):
    assert all(np.isfinite(p.detach().numpy()).all() for p in model.model.parameters())
