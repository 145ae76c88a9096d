"""Templates of many kinds on a real tokenizer: what they write, or why not, in one paragraph."""

import datetime
import shutil

import pytest
from tiny_models import TEMPLATE, mirror
from transformers import AutoTokenizer

from lib.errors import InvalidValueError
from lib.models import template
from lib.models.chat import Prompt, prompt_ids
from lib.models.template import chat_format, format_name, write_chats

CHAT = (("system", "Be brief."), ("user", "Hi!"))
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
)
IGNORES_SYSTEM = "{% for m in messages if m['role'] != 'system' %}[{{ m['content'] }}]{% endfor %}"
THINKS = (  # as Qwen3's
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and "
    "enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
OPENS = "{% for m in messages %}{{ m['content'] }}{% endfor %}<assistant><think>\n"  # as R1's
DATED = "Today is {{ strftime_now('%d %B %Y, %y-%m-%d') }}. {{ messages[-1]['content'] }}"


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(mirror("smollm2-135m-instruct-tokenizer"))


def write_chat(tokenizer, messages):
    return write_chats(tokenizer, [messages])[0]


def having(tokenizer, text):
    tokenizer.chat_template = text
    return tokenizer


def test_a_chat_is_written_as_by_transformers(tokenizer):
    chat = [{"role": role, "content": content} for role, content in CHAT]
    for some, shown in ((CHAT, chat), (CHAT[1:], chat[1:])):
        assert write_chat(tokenizer, some) == tokenizer.apply_chat_template(
            shown, tokenize=False, add_generation_prompt=True)
    found = chat_format(tokenizer)
    assert found.own and found.system and not found.thinking and not found.dated
    assert found.end == "<|im_end|>" and found.written.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("text", [NO_SYSTEM, IGNORES_SYSTEM])
def test_an_instruction_stands_before_the_request_where_no_system_message_is_taken(
    tokenizer, text
):
    template._warn_of_fold.cache_clear()
    with pytest.warns(UserWarning, match="no system message"):
        written = write_chat(having(tokenizer, text), CHAT)
    assert "Be brief.\n\nHi!" in written
    assert not chat_format(tokenizer).system and chat_format(tokenizer).own


@pytest.mark.parametrize(("text", "told"), [
    ("{{ raise_exception('never') }}", "never"), ("{% include 'other' %}", "no loader"),
    ("{% for i in range(10**9) %}a{% endfor %}", "Range too big"), ("{% if %}", "expression"),
    ("{{ messages.__class__.__mro__ }}", "unsafe"), ("{{ 1 / 0 }}", "division"),
    ("{{ nothing.at.all }}", "undefined"), ("always the same", "leaves a message out"),
])
def test_a_template_that_fails_is_one_paragraph(tokenizer, text, told):
    with pytest.raises(InvalidValueError, match=told) as error:
        write_chat(having(tokenizer, text), CHAT)
    assert "\n" not in str(error.value) and "chat template" in str(error.value)


def test_a_template_that_refuses_one_request_does_not_tell_which(tokenizer):
    text = ("{% if 'secret' in messages[0]['content'] %}"
            "{{ raise_exception(messages[0]['content']) }}{% endif %}{{ messages[0]['content'] }}")
    tokenizer = having(tokenizer, text)
    assert write_chat(tokenizer, [("user", "an open word")]) == "an open word"
    with pytest.raises(InvalidValueError, match="not shown") as caught:
        write_chat(tokenizer, [("user", "a secret word")])
    assert "secret" not in str(caught.value) and caught.value.__suppress_context__


def test_a_template_without_an_end_is_left_alone(tokenizer, monkeypatch):
    monkeypatch.setattr(template, "SECONDS", 0.1)
    slow = "{% for i in range(2000) %}{% for j in range(2000) %}{% endfor %}{% endfor %}"
    with pytest.raises(InvalidValueError, match="no end after"):
        chat_format(having(tokenizer, slow))


def test_thinking_is_seen_and_turned_off(tokenizer):
    assert write_chat(having(tokenizer, THINKS), CHAT).endswith("<think>\n\n</think>\n\n")
    assert chat_format(tokenizer).thinking
    assert write_chat(having(tokenizer, OPENS), CHAT).endswith("<think>\n\n</think>\n\n")
    assert chat_format(tokenizer).thinking


def test_a_request_about_thinking_is_no_thinking(tokenizer):
    bare = "{% for m in messages %}{{ m['content'] }}!{% endfor %}"
    assert write_chat(having(tokenizer, bare), (("user", "say <think>"),)) == "say <think>!"


def test_today_is_always_the_same_day(tokenizer):
    written = write_chat(having(tokenizer, DATED), CHAT[1:])
    assert written == "Today is 01 January 2026, 26-01-01. Hi!" and chat_format(tokenizer).dated
    assert format_name(tokenizer) == "chat template, dated 2026-01-01"
    plain = tokenizer.apply_chat_template([{"role": "user", "content": "Hi!"}], tokenize=False)
    assert datetime.date.today().strftime("%d %B %Y") in plain  # it does ask for the date
    lines = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}\n\n{{ messages }}"
    assert write_chat(having(tokenizer, "\n" + lines), CHAT).startswith("\n2026\n")


def test_without_a_template_a_chat_is_a_transcript_behind_the_start_token(tokenizer):
    having(tokenizer, None)
    assert write_chat(tokenizer, CHAT) == "System: Be brief.\nUser: Hi!\nAssistant:"
    found = chat_format(tokenizer)
    assert not found.own and found.end == "" and format_name(tokenizer) == "transcript"
    ids = prompt_ids(tokenizer, Prompt.chat("Hi!"))
    assert ids[0] == tokenizer.bos_token_id


def test_a_template_in_a_file_of_its_own_is_read(tmp_path):
    folder = mirror("smollm2-135m-instruct-tokenizer")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    read = AutoTokenizer.from_pretrained(tmp_path)
    assert write_chat(read, CHAT) == "<sys> Be brief. <user> Hi! <bot>"


def test_of_several_templates_the_default_serves(tokenizer):
    having(tokenizer, {"tool_use": "{{ messages }}", "default": TEMPLATE})
    assert write_chat(tokenizer, CHAT) == "<sys> Be brief. <user> Hi! <bot>"
    with pytest.raises(InvalidValueError, match="multiple chat templates"):
        write_chat(having(tokenizer, {"tool_use": TEMPLATE}), CHAT)
