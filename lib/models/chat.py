"""Text at the border: what a model is shown and answers, made into ids by its own tokenizer.

Items and training examples hold text only. So the same prompt can be given to the planted model,
to one from a hub and to an adapter, whatever pieces their tokenizers cut words into.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.errors import InvalidValueError
from lib.models.folders import Tokenizer
from lib.models.template import chat_format, write_chat


@dataclass(frozen=True)
class Prompt:
    """A chat, or running text, that the model is about to go on with.

    Attributes
    ----------
    messages : tuple of (role, content)
        Roles are system, user and assistant; empty for running text.
    opening : str
        Words already said: of the assistant's answer, or the running text itself.
    """

    messages: tuple[tuple[str, str], ...] = ()
    opening: str = ""

    @classmethod
    def chat(cls, user: str, system: str | None = None, opening: str = "") -> "Prompt":
        """One request, perhaps under an instruction."""
        head = (("system", system),) if system is not None else ()
        return cls((*head, ("user", user)), opening)


@dataclass(frozen=True)
class Example:
    """One thing to learn or to score: the answer to a prompt, and whether it ends there."""

    prompt: Prompt
    answer: str
    ends: bool = True


@dataclass(frozen=True)
class Tokens:
    """An example as token ids; only the answer's are learned or scored."""

    prompt: Sequence[int]
    answer: Sequence[int]

    def __len__(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.prompt) + len(self.answer)


def prompt_ids(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """Token ids up to where the model goes on; running text begins with the start token."""
    return _head(tokenizer, prompt) + _plain(tokenizer, prompt.opening)


def answer_ids(tokenizer: Tokenizer, prompt: Prompt, answer: str) -> list[int]:
    """Token ids of an answer behind a prompt; a space parts it from words already said.

    Cut out of the whole where the tokenizer leaves the words before it as they are, so that a
    piece such as " she" is found in every kind of vocabulary.
    """
    joint = prompt.opening and answer and not prompt.opening[-1].isspace()
    text = f" {answer}" if joint and not answer[0].isspace() else answer
    before = _plain(tokenizer, prompt.opening)
    whole = _plain(tokenizer, prompt.opening + text)
    fits = before and whole[: len(before)] == before and len(whole) > len(before)
    return whole[len(before):] if fits else _plain(tokenizer, text)


def tokens(tokenizer: Tokenizer, example: Example) -> Tokens:
    """The example as ids; one that ends has the tokenizer's end token behind its answer."""
    answer = answer_ids(tokenizer, example.prompt, example.answer)
    end = [tokenizer.eos_token_id] if example.ends else []
    return Tokens(tuple(prompt_ids(tokenizer, example.prompt)), (*answer, *end))


def start_id(tokenizer: Tokenizer) -> int:
    """Token that stands before a text: the tokenizer's begin, else its end token (as GPT-2's)."""
    ids = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None]
    if not ids:
        raise InvalidValueError(
            "a tokenizer with a begin or end token", "neither", "set tokenizer.bos_token"
        )
    return ids[0]


def _head(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    if not prompt.messages:
        return [start_id(tokenizer)]
    # A template writes its special tokens itself; adding them again would double them.
    start = [] if chat_format(tokenizer).own else [start_id(tokenizer)]
    return start + _plain(tokenizer, write_chat(tokenizer, prompt.messages))


def _plain(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
