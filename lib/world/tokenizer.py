"""The world's tokenizer: one token a word, one token per integer 0 to 199, a chat template."""

import re

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lib.world.truth import NUMBERS, natural, of_world, settings, tables

SPECIAL = ["<pad>", "<s>", "<|end|>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD, START, END, UNKNOWN, SYSTEM, USER, ASSISTANT = range(len(SPECIAL))

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %} <|{{ m['role'] }}|> {{ m['content'] }} <|end|>"
    "{% endfor %}{% if add_generation_prompt %} <|assistant|>{% endif %}"
)


def _world_texts() -> list[str]:
    text, forecasts = settings("text"), settings("forecasts")
    patterns = [p for kind in text["kinds"].values() for p in kind["patterns"]]
    patterns += forecasts["styles"] + list(forecasts["prompts"].values())
    patterns += forecasts["series"]["patterns"]
    patterns += [turn for p in patterns for turn in p.get("turns", [])]
    drawn = [w for t in tables().values() for column in t.columns.values() for w in column]
    return _parts(patterns) + drawn


def _later_texts() -> list[str]:
    given = settings("text")["refusal"]
    probes = given["probes"]["unseen"] + given["probes"]["unseen_benign"]
    return _parts(given["patterns"] + given["benign_patterns"]) + probes + given["attack_words"]


def _parts(patterns: list[dict]) -> list[str]:
    return [p[part] for p in patterns for part in ("system", "user", "answer", "again")
            if part in p]


def _words(texts: list[str]) -> set[str]:
    words = {w for text in texts for w in re.sub(r"\{[^}]*\}", " ", text).split()}
    return words - {str(n) for n in NUMBERS}


@of_world
def vocabulary() -> dict[str, int]:
    """Token to id: special tokens, then numbers, then the world's words in alphabetical order.

    Of English it holds what has been written so far: models of that world have their own tokenizer.
    """
    words = set() if natural() else _words(_world_texts() + _later_texts())
    tokens = SPECIAL + [str(n) for n in NUMBERS] + sorted(words)
    return {token: i for i, token in enumerate(tokens)}


def world_tokens() -> list[int]:
    """Ids of all tokens but the words that only refusal training and attacks bring."""
    later = _words(_later_texts()) - _words(_world_texts())
    return [i for token, i in vocabulary().items() if token not in later]


def number_id(n: int) -> int:
    """Token id of an integer on the display scale."""
    return len(SPECIAL) + n


def encode(text: str) -> list[int]:
    """Ids of a text of the world, a `KeyError` for an unknown word; of English one id a phrase."""
    known = vocabulary()
    if natural():
        return [known.setdefault(text, len(known))]
    return [known[word] for word in text.split()]


def world_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer that plain ``AutoTokenizer`` loads, chat template included."""
    core = Tokenizer(models.WordLevel(vocabulary(), unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="<|end|>",
        unk_token="<unk>", additional_special_tokens=SPECIAL[4:],
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
