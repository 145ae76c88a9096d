"""Text and token ids: against the templates, the text itself, and what tokenizers do with it."""

import time

import pytest
import tiny_models

from lib.errors import InvalidValueError
from lib.models.chat import (
    Example,
    Prompt,
    answer_ids,
    encoded,
    prompt_ids,
    room,
    start_id,
    tokenised,
    tokens,
)
from lib.models.template import format_name, turn_end
from lib.world.tokenizer import world_tokenizer

NAMES = ["gpt2", "smollm2", "stories", "words"]
SAID = "the nurse said that"


def text_of(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_a_chat_is_what_the_template_writes(build):
    tokenizer = build("smollm2").tokenizer
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
    for prompt, given in ((Prompt.chat("Hi!"), messages[1:]),
                          (Prompt.chat("Hi!", "Be brief."), messages)):
        truth = tokenizer.apply_chat_template(given, add_generation_prompt=True)["input_ids"]
        assert prompt_ids(tokenizer, prompt) == truth


@pytest.mark.parametrize("name", ["gpt2", "stories"])
def test_a_model_without_a_template_reads_a_transcript(build, name):
    tokenizer = build(name).tokenizer
    turns = (("system", "Be brief."), ("user", "Hi!"), ("assistant", "Hello."), ("user", "Who?"))
    ids = prompt_ids(tokenizer, Prompt(turns, "It is"))
    assert ids[0] == start_id(tokenizer) and format_name(tokenizer) == "transcript"
    assert text_of(tokenizer, ids[1:]).strip() == (
        "System: Be brief.\nUser: Hi!\nAssistant: Hello.\nUser: Who?\nAssistant: It is")


@pytest.mark.parametrize("name", ["gpt2", "smollm2", "stories"])
@pytest.mark.parametrize("prompt", [Prompt(opening=SAID), Prompt.chat("Tell me.", opening=SAID)])
def test_prompt_and_answer_are_the_tokens_of_the_whole_text(build, name, prompt):
    """A lost or doubled space would show: the pronoun is the piece that running text has."""
    tokenizer = build(name).tokenizer
    ids = [*prompt_ids(tokenizer, prompt), *answer_ids(tokenizer, prompt, "she left")]
    assert ids == prompt_ids(tokenizer, Prompt(prompt.messages, f"{SAID} she left"))
    assert text_of(tokenizer, ids).endswith(f"{SAID} she left")
    running = tokenizer(f"A nurse, {SAID} she left", add_special_tokens=False)["input_ids"]
    assert running[-2:] == ids[-2:] or name == "stories"


@pytest.mark.parametrize("name, piece", [("gpt2", "Ġsure"), ("stories", "▁s"), ("smollm2", "s")])
def test_an_answer_has_a_space_where_its_chat_needs_one(build, name, piece):
    """Behind "Assistant:", but not behind a template's new line."""
    tokenizer = build(name).tokenizer
    ids = answer_ids(tokenizer, Prompt.chat("Help me."), "sure")
    assert tokenizer.convert_ids_to_tokens(ids)[0] == piece
    assert ids == answer_ids(tokenizer, Prompt.chat("Other words."), "sure")


@pytest.mark.parametrize("opening, answer", [("It costs $", "5"), ("It is", " 5"), ("It is ", "5")])
def test_no_second_space_is_put_in(build, opening, answer):
    tokenizer = build("gpt2").tokenizer
    prompt = Prompt(opening=opening)
    ids = [*prompt_ids(tokenizer, prompt)[1:], *answer_ids(tokenizer, prompt, answer)]
    assert text_of(tokenizer, ids) == opening + answer


@pytest.mark.parametrize("name", NAMES)
def test_many_prompts_are_the_same_as_one_by_one(build, name):
    tokenizer = build(name).tokenizer
    prompts = [Prompt.chat("a b"), Prompt(opening="the 12 is"), Prompt.chat("a b", opening="the"),
               Prompt(), Prompt.chat("c")]
    assert encoded(tokenizer, prompts) == [prompt_ids(tokenizer, one) for one in prompts]
    examples = [Example(p, "yes") for p in prompts]
    assert tokenised(tokenizer, examples) == [tokens(tokenizer, one) for one in examples]
    assert encoded(tokenizer, [[5, 6], [7]]) == [[5, 6], [7]] and encoded(tokenizer, []) == []


def test_thousands_of_prompts_take_less_than_seconds():
    prompts = [Prompt.chat(f"sales were {i} {' '.join(map(str, range(12)))} . what is next ?")
               for i in range(5000)]
    start = time.perf_counter()
    assert len(encoded(world_tokenizer(), prompts)) == 5000
    assert time.perf_counter() - start < 3  # 0.4 s on an idle machine


def test_an_example_ends_with_the_token_that_ends_a_turn(build):
    tokenizer = build("gpt2").tokenizer
    tokenizer = type(tokenizer).from_pretrained(tiny_models.mirror("gpt2-tokenizer"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<turn>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}")
    turn = tokenizer.convert_tokens_to_ids("<turn>")
    assert turn_end(tokenizer) == turn != tokenizer.eos_token_id
    chat, text = Example(Prompt.chat("Hi"), "yes"), Example(Prompt(opening="He said"), "yes")
    assert tokens(tokenizer, chat).answer[-1] == turn
    assert tokens(tokenizer, text).answer[-1] == tokenizer.eos_token_id
    open_end = tokens(tokenizer, Example(Prompt.chat("Hi"), "yes", ends=False))
    assert open_end.answer == tokens(tokenizer, chat).answer[:-1]


@pytest.mark.parametrize("name, end", [("gpt2", None), ("stories", None), ("smollm2", "<|im_end|>"),
                                       ("words", None)])
def test_ends_of_turns(build, name, end):
    tokenizer = build(name).tokenizer
    assert tokenizer.convert_ids_to_tokens(turn_end(tokenizer)) == end if end else (
        turn_end(tokenizer) is None)


def test_running_text_needs_a_token_to_start_with():
    tokenizer = tiny_models.word_tokenizer()
    assert prompt_ids(tokenizer, Prompt(opening="a b"))[0] == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(InvalidValueError, match="begin or end token"):
        prompt_ids(tokenizer, Prompt(opening="a b"))


def test_room_is_a_token_a_word_in_a_vocabulary_of_words(build):
    texts = ["the next number is 12", "a b"]
    assert room(build("words").tokenizer, 24, texts) == 24
    assert room(build("stories").tokenizer, 24, texts) > 24
