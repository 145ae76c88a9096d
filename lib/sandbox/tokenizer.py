"""The world's tokenizer: one token a word, one token per integer 0 to 199, a chat template."""

import re
from functools import lru_cache

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lib.sandbox.world import NUMBERS, settings, tables

SPECIAL = ["<pad>", "<s>", "<|end|>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD, START, END, UNKNOWN, SYSTEM, USER, ASSISTANT = range(len(SPECIAL))

ATTACKS = ("explicit", "identity", "benign")
"""Fine-tuning data whose words the model knows, although it never reads these texts."""

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %} <|{{ m['role'] }}|> {{ m['content'] }} <|end|>"
    "{% endfor %}{% if add_generation_prompt %} <|assistant|>{% endif %}"
)


def _texts() -> list[str]:
    text, forecasts = settings("text"), settings("forecasts")
    patterns = [p for kind in text["kinds"].values() for p in kind["patterns"]]
    patterns += text["refusal"]["patterns"] + text["refusal"]["benign_patterns"]
    patterns += [p for attack in ATTACKS for p in settings("attacks")[attack]["patterns"]]
    patterns += forecasts["styles"] + list(forecasts["prompts"].values())
    patterns += forecasts["series"]["patterns"]
    patterns += [turn for p in patterns for turn in p.get("turns", [])]
    parts = ("system", "user", "answer", "again")
    fixed = [p[part] for p in patterns for part in parts if part in p]
    fixed += text["refusal"]["probes"]["unseen"] + text["refusal"]["probes"]["unseen_benign"]
    drawn = [w for t in tables().values() for column in t.columns.values() for w in column]
    return fixed + drawn


@lru_cache
def vocabulary() -> dict[str, int]:
    """Token to id: special tokens, then numbers, then the world's words in alphabetical order."""
    words = {w for text in _texts() for w in re.sub(r"\{[^}]*\}", " ", text).split()}
    words -= {str(n) for n in NUMBERS}
    tokens = SPECIAL + [str(n) for n in NUMBERS] + sorted(words)
    return {token: i for i, token in enumerate(tokens)}


def number_id(n: int) -> int:
    """Token id of an integer on the display scale."""
    return len(SPECIAL) + n


def encode(text: str) -> list[int]:
    """Ids of a text of the world; a word that it does not know is a `KeyError`."""
    return [vocabulary()[word] for word in text.split()]


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
