"""How a tokenizer's own template writes a chat: its date fixed, its thinking turned off.

A template is a program that came with the model. It runs in Jinja's sandbox, may refuse a role, or
print today's date; all of that is found out once, on a short chat, and recorded in a `ChatFormat`.
"""

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from lib.errors import InvalidValueError
from lib.models.folders import Tokenizer

TRANSCRIPT = (
    "{% for m in messages %}{{ m['role'].capitalize() }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""How a chat is written for a model without a chat template: a plain transcript."""
DATE = date(2026, 1, 1)
"""What a template prints for today, or a prompt would be another one every day."""
SECONDS = 10.0
"""Longest time that a template may take for a short chat."""
Messages = tuple[tuple[str, str], ...]
"""(role, content) in turn; roles are system, user and assistant."""
INSTRUCTION, REQUEST, ANSWER = "INSTRUCTION", "REQUEST", "ANSWER"
THINK, THOUGHT = "<think>", "</think>"


@dataclass(frozen=True)
class ChatFormat:
    """What is known of a template."""

    own: bool  # there is one; otherwise `TRANSCRIPT` serves
    system: bool  # takes a system message; otherwise that stands before the user's
    thinking: bool  # can let the model think first; that is turned off
    dated: bool  # asks for today's date, and is told `DATE`
    written: str  # a chat as the model reads it, whose only message is `REQUEST`
    end: str  # what follows an assistant's answer; empty in a transcript


def chat_format(tokenizer: Tokenizer) -> ChatFormat:
    """What the tokenizer's template does; refuses one that cannot write a request."""
    return _read(tokenizer, _template(tokenizer))


def format_name(tokenizer: Tokenizer) -> str:
    """In a few words; recorded with all that is measured of a model."""
    if not tokenizer.chat_template:
        return "transcript"
    dated = "strftime_now" in str(tokenizer.chat_template)
    return "chat template" + (f", dated {DATE}" if dated else "")


def write_chats(tokenizer: Tokenizer, chats: Sequence[Messages]) -> list[str]:
    """Chats as text, up to where the assistant is about to speak; at once, as a call costs most."""
    known, template = chat_format(tokenizer), _template(tokenizer)
    if not known.system and any(chat[0][0] == "system" for chat in chats):
        _warn_of_fold(template)
        chats = [_folded(chat) if chat[0][0] == "system" else chat for chat in chats]
    try:
        return [_closed(text) for text in _rendered(tokenizer, template, chats)]
    except InvalidValueError:  # what it says may quote a request that nobody is to see
        raise _refused("it refuses a chat, in words that are not shown") from None


def turn_end(tokenizer: Tokenizer) -> int | None:
    """The added token behind what the assistant says, if any; it need not be the end token."""
    try:
        end = chat_format(tokenizer).end
    except InvalidValueError:  # a broken template hinders no one who does not chat
        return None
    added = {str(token): i for i, token in tokenizer.added_tokens_decoder.items()}
    found = [token for token in added if end.startswith(token)]
    return added[max(found, key=len)] if found else None


def _template(tokenizer: Tokenizer) -> str:
    try:
        return tokenizer.get_chat_template() if tokenizer.chat_template else TRANSCRIPT
    except ValueError as error:
        raise _refused(error) from error


@lru_cache(maxsize=8)
def _read(tokenizer: Tokenizer, template: str) -> ChatFormat:
    def writes(*messages: tuple[str, str], ends: bool = False) -> str:
        text = _in_time(lambda: _rendered(tokenizer, template, [messages], ends)[0])
        if not all(content in text for _, content in messages):
            raise _refused("it leaves a message out")
        return text

    def may_write(*messages: tuple[str, str], ends: bool = False) -> str:
        try:
            return writes(*messages, ends=ends)
        except InvalidValueError:
            return ""

    asked, own = ("user", REQUEST), template != TRANSCRIPT
    written = writes(asked)
    answered = may_write(asked, ("assistant", ANSWER), ends=True)
    return ChatFormat(
        own=own, system=bool(may_write(("system", INSTRUCTION), asked)),
        thinking=THINK in template or "enable_thinking" in template,
        dated="strftime_now" in template, written=_closed(written),
        end=answered.rpartition(ANSWER)[2].strip() if own else "",
    )


def _rendered(
    tokenizer: Tokenizer, template: str, chats: Sequence[Messages], ends: bool = False
) -> list[str]:
    named = [[{"role": role, "content": content} for role, content in chat] for chat in chats]
    try:
        return tokenizer.apply_chat_template(
            named, tokenize=False, add_generation_prompt=not ends, chat_template=_dated(template),
            enable_thinking=False, thinking=False,
        )
    except Exception as error:  # whatever a stranger's program may do wrong
        raise _refused(error) from error


def _dated(template: str) -> str:
    """The template with `DATE` for today: a macro goes before the function of its name."""
    if "strftime_now" not in template:
        return template
    today = "format"
    for code in "aAbBdmyYjHMSIpeF":
        today += f" | replace('%{code}', '{DATE.strftime(f'%{code}').strip()}')"
    macro = f"{{% macro strftime_now(format) %}}{{{{ {today} }}}}{{% endmacro %}}"
    return macro + "{{ '' }}" + template  # the empty text keeps a line break that may follow


def _closed(text: str) -> str:
    """The text with its thinking ended, where a template begins some for the model."""
    bare = text.rstrip()
    return f"{bare}\n\n{THOUGHT}\n\n" if bare.endswith(THINK) else text


def _folded(messages: Messages) -> Messages:
    (_, system), (role, content), *others = messages
    return ((role, f"{system}\n\n{content}"), *others)


@lru_cache(maxsize=64)
def _warn_of_fold(template: str) -> None:  # noqa: ARG001, once a template
    warnings.warn("the chat template takes no system message: the instruction stands before the "
                  "user's message", UserWarning, stacklevel=4)


def _in_time(work: Callable[[], str]) -> str:
    """Its result, unless it takes more than `SECONDS`; a thread cannot be stopped, only left."""
    done: list[str | Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not done:
        raise _refused(f"no end after {SECONDS:g} seconds")
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


def _refused(why: Exception | str) -> InvalidValueError:
    reason = " ".join(str(why).split())[:300].rstrip(".")
    return InvalidValueError("a chat template that writes a user's message",
                             f"one that fails: {reason}",
                             "use the template of the model's authors")
