"""Text at the border: what a model is shown and answers, made into ids by its own tokenizer.

Items and training examples hold text only. So the same prompt can be given to the planted model,
to one from a hub and to an adapter, whatever pieces their tokenizers cut words into.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lib.errors import require
from lib.models.folders import Tokenizer
from lib.models.template import Messages, turn_end, write_chats

OPENING_MARKS = "([{<\"'`$€£#=-/"


@dataclass(frozen=True)
class Prompt:
    """A chat, or running text without `messages`, that the model is about to go on with.

    `opening` are words already said: of the assistant's answer, or the running text itself.
    """

    messages: Messages = ()
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


Prompts = Sequence[Prompt] | Sequence[Sequence[int]]
"""What a model can be asked with: text, or the token ids of it."""


def encoded(tokenizer: Tokenizer, prompts: Prompts) -> list[Sequence[int]]:
    """Token ids up to where the model goes on; prompts that are ids already stay as they are.

    Running text begins with the start token; a chat as its template says.
    """
    if not prompts or not isinstance(prompts[0], Prompt):
        return list(prompts)
    written = _written(tokenizer, [p.messages for p in prompts])
    heads = dict(zip(written, _plain(tokenizer, written), strict=True))
    # A template writes its special tokens itself; adding them again would double them.
    bare = {text for text in heads if not (text and tokenizer.chat_template)}
    heads |= {text: [start_id(tokenizer), *heads[text]] for text in bare}
    openings = _behind(tokenizer, _anchors(tokenizer, written), [p.opening for p in prompts])
    return [heads[text] + ids for text, ids in zip(written, openings, strict=True)]


def encoded_answers(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], answers: Sequence[str]
) -> list[list[int]]:
    """Token ids of each answer behind its prompt."""
    anchors = _anchors(tokenizer, _written(tokenizer, [p.messages for p in prompts]))
    before = [p.opening or anchor for p, anchor in zip(prompts, anchors, strict=True)]
    return _behind(tokenizer, before, answers)


def tokenised(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Tokens]:
    """Examples as ids; one that ends has the token behind its answer that ends a turn, or text."""
    prompts = [example.prompt for example in examples]
    answers = encoded_answers(tokenizer, prompts, [example.answer for example in examples])
    eos, turn = tokenizer.eos_token_id, turn_end(tokenizer)
    last = {False: eos, True: eos if turn is None else turn}
    ends = [[last[bool(e.prompt.messages)]] if e.ends else [] for e in examples]
    return [
        Tokens(tuple(prompt), (*answer, *end))
        for prompt, answer, end in zip(encoded(tokenizer, prompts), answers, ends, strict=True)
    ]


def prompt_ids(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """`encoded` of one prompt."""
    return list(encoded(tokenizer, [prompt])[0])


def answer_ids(tokenizer: Tokenizer, prompt: Prompt, answer: str) -> list[int]:
    """`encoded_answers` of one answer."""
    return encoded_answers(tokenizer, [prompt], [answer])[0]


def tokens(tokenizer: Tokenizer, example: Example) -> Tokens:
    """`tokenised` of one example."""
    return tokenised(tokenizer, [example])[0]


def room(tokenizer: Tokenizer, words: int, like: Sequence[str]) -> int:
    """Tokens that hold so many words of texts like these, however a vocabulary cuts them."""
    pieces = sum(map(len, _plain(tokenizer, like)))
    return math.ceil(words * pieces / sum(len(text.split()) for text in like))


def start_id(tokenizer: Tokenizer) -> int:
    """Token that stands before a text: the tokenizer's begin, else its end token (as GPT-2's)."""
    ids = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None]
    require(ids, "a tokenizer with a begin or end token", "neither", "set tokenizer.bos_token")
    return ids[0]


def parted(text: str) -> bool:
    """Whether a space belongs between this text and a word that follows it."""
    return bool(text) and not text[-1].isspace() and text[-1] not in OPENING_MARKS


def _written(tokenizer: Tokenizer, chats: Sequence[Messages]) -> list[str]:
    """Each chat as the model reads it, up to the assistant's turn; nothing for running text."""
    distinct = [chat for chat in dict.fromkeys(chats) if chat]
    texts = write_chats(tokenizer, distinct) if distinct else []
    found = {(): "", **dict(zip(distinct, texts, strict=True))}
    return [found[chat] for chat in chats]


def _anchors(tokenizer: Tokenizer, written: Sequence[str]) -> list[str]:
    """Short stand-ins for texts that words are tokenised behind: all that counts is their end."""
    special = tuple(str(token) for token in tokenizer.added_tokens_decoder.values())
    return ["" if not text or text.endswith(special) else "a" if parted(text) else "\n"
            for text in written]


def _behind(
    tokenizer: Tokenizer, before: Sequence[str], texts: Sequence[str]
) -> list[list[int]]:
    """Ids of each text behind another, with a space where they must be parted."""
    texts = [f" {text}" if text and parted(head) and not text[0].isspace() else text
             for head, text in zip(before, texts, strict=True)]
    heads, alone = _plain(tokenizer, before), _plain(tokenizer, texts)
    whole = _plain(tokenizer, [h + t for h, t in zip(before, texts, strict=True)])
    # Cut out of the whole where that leaves the head as it is: so " she" is one piece everywhere.
    return [ids[len(head):] if ids[: len(head)] == head else own
            for head, own, ids in zip(heads, alone, whole, strict=True)]


def _plain(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text without any that the tokenizer would add; equal texts are cut once."""
    distinct = [text for text in dict.fromkeys(texts) if text]
    ids = tokenizer(distinct, add_special_tokens=False)["input_ids"] if distinct else []
    found = {"": [], **dict(zip(distinct, ids, strict=True))}
    return [found[text] for text in texts]
