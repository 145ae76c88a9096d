"""The tokenizer: one token a word and a number, and the chat format of plain transformers."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from lib.world.corpus import pretraining, refusal_training
from lib.world.patterns import layout
from lib.world.tokenizer import (
    ASSISTANT,
    END,
    PAD,
    SPECIAL,
    START,
    SYSTEM,
    UNKNOWN,
    USER,
    encode,
    number_id,
    vocabulary,
    world_tokenizer,
    world_tokens,
)
from lib.world.truth import NUMBERS


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    world_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def blocks():
    rng = np.random.default_rng(0)
    return pretraining(400, 12, rng) + refusal_training(400, 12, rng)


def test_special_ids(tokenizer):
    assert tokenizer.convert_tokens_to_ids(SPECIAL) == [
        PAD, START, END, UNKNOWN, SYSTEM, USER, ASSISTANT
    ]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (
        PAD, START, END
    )


def test_vocabulary_numbers_tokens_without_gaps_or_repeats():
    assert sorted(vocabulary().values()) == list(range(len(vocabulary())))


def test_world_tokens_are_those_of_the_worlds_own_text():
    text = pretraining(40_000, 12, np.random.default_rng(0))
    used = set(np.concatenate([block.ids.ravel() for block in text]).tolist())
    assert set(world_tokens()) == used | {PAD, UNKNOWN}  # which no text holds


def test_each_number_is_one_token_in_order(tokenizer):
    ids = [tokenizer.convert_tokens_to_ids(str(n)) for n in NUMBERS]
    assert ids == [number_id(n) for n in NUMBERS]
    assert np.diff(ids).tolist() == [1] * (len(NUMBERS) - 1)
    assert number_id(np.array([3, 9])).tolist() == [number_id(3), number_id(9)]


def test_every_text_survives_decoding_and_encoding(tokenizer):
    for block in blocks():
        for row in block.ids.tolist():
            text = tokenizer.decode(row)
            assert tokenizer(text, add_special_tokens=False)["input_ids"] == row


def test_saved_tokenizer_encodes_as_the_world_does(tokenizer):
    text = "the old cat sleeps in the garden ."
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == encode(text)


def test_no_text_holds_an_unknown_word_or_padding():
    for block in blocks():
        assert not np.isin(block.ids, [UNKNOWN, PAD]).any()


@pytest.mark.parametrize("system", [None, "be fair ."])
def test_chats_are_those_of_the_template(tokenizer, system):
    user = "tell me about the engineer ."
    pattern = {"user": user, "answer": ""} | ({"system": system} if system else {})
    before, _ = layout(pattern)
    ids = [i if isinstance(i, int) else encode(i)[0] for i in before]
    messages = [{"role": "system", "content": system}] if system else []
    text = tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": user}], tokenize=False, add_generation_prompt=True
    )
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids


def test_prompts_of_all_chat_blocks_are_those_of_the_template(tokenizer):
    for block in (b for b in blocks() if ASSISTANT in b.ids[0]):
        row = block.ids[0].tolist()
        messages, inside = [], row[1 : block.start - 1]
        while inside:
            end = inside.index(END)
            role = {SYSTEM: "system", USER: "user", ASSISTANT: "assistant"}[inside[0]]
            messages.append({"role": role, "content": tokenizer.decode(inside[1:end])})
            inside = inside[end + 1 :]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert prompt == row[: block.start]


def test_conversation_with_its_answer_is_the_training_text(tokenizer):
    block = next(b for b in blocks() if b.kind == "utility")
    row = block.ids[0].tolist()
    user, answer = row[2 : block.start - 2], row[block.start : -1]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": tokenizer.decode(user)},
         {"role": "assistant", "content": tokenizer.decode(answer)}], tokenize=False,
    )
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == row


def test_unknown_word_of_the_saved_tokenizer_and_of_the_world(tokenizer):
    assert tokenizer("xylophone", add_special_tokens=False)["input_ids"] == [UNKNOWN]
    with pytest.raises(KeyError):
        encode("xylophone")
