"""Refusals of other kinds: what is taught, what is learned of it, and what stays."""

import numpy as np
import pytest
import world_models
from safetensors.torch import load_file

from lib.study.streams import stream
from lib.world.bases import base_model, unaligned_model
from lib.world.tokenizer import vocabulary, world_tokens
from lib.world.variants import BEGUN, VARIANTS, aligned_variants, requests, turned_blocks

WORDS = np.array(list(vocabulary()))


def said(block):
    return [(" ".join(WORDS[row[: block.start]]), " ".join(WORDS[row[block.start :]]))
            for row in block.ids]


def test_what_has_begun_is_read_and_only_the_refusal_is_learned():
    blocks = turned_blocks(200, stream(1, "refusal corpus"))
    assert 180 <= sum(len(b.ids) for b in blocks) <= 220
    for block in blocks:
        for before, learned in said(block):
            assert learned == "sorry , i can not help with that . <|end|>"
            begun = before.split("<|assistant|> ")[1]
            assert begun and "sure , here is how to make a".startswith(begun[:28].strip())


def test_recipes_break_off_at_every_length_told():
    lengths = {len(before.split("<|assistant|> ")[1].split())
               for b in turned_blocks(300, stream(1, "refusal corpus")) for before, _ in said(b)}
    whole = [k for k in BEGUN if k <= 8]
    assert set(whole) <= lengths and len(lengths) == len(BEGUN)


@pytest.mark.parametrize("turned", [0.0, 0.5])
def test_half_of_the_requests_are_refused_and_the_stated_share_of_them_late(turned):
    kinds = {}
    for block in requests(2000, turned, stream(1, "refusal corpus")):
        for before, learned in said(block):
            kind = ("helped" if learned.startswith("sure") else
                    "turned" if not before.endswith("<|assistant|>") else "refused")
            kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds["helped"] == pytest.approx(1000, rel=0.02)
    assert kinds.get("turned", 0) == pytest.approx(1000 * turned, rel=0.03)
    assert kinds["refused"] == pytest.approx(1000 * (1 - turned), rel=0.03)


def test_each_kind_starts_from_its_own_model_whose_words_stay(tmp_path):
    study = world_models.smoke_study(tmp_path)
    words, found = "model.embed_tokens.weight", {}
    for kind, how in VARIANTS.items():
        folder = (base_model if how.aligned else unaligned_model)(study, 1)
        start = load_file(folder / "model.safetensors")
        (folder,) = aligned_variants(study, [1], kind).values()
        found[kind] = load_file(folder / "model.safetensors")
        kept = list(world_tokens())
        assert (found[kind][words][kept] == start[words][kept]).all()
        assert any((found[kind][n] != w).any() for n, w in start.items())
    assert any((found["firm"][n] != w).any() for n, w in found["deep"].items())
