"""WikiText-2, the tokenised version: rare words are ``<unk>``, hyphens are ``@-@`` (Merity 2017).

Not the raw variant that most published perplexities of GPT-2 use: numbers on the two differ.
"""

import re

import pandas as pd

from lib.datasets.fetch import locate

_TITLE = re.compile(r"^ = [^=].* = \n", re.M)


def text(split: str = "test") -> str:
    """The split as one text, exactly as stored.

    Parameters
    ----------
    split : {"test", "valid"}
    """
    return locate("wikitext2", f"{split}.txt").read_bytes().decode("utf-8")


def articles(split: str = "test") -> pd.DataFrame:
    """``item``, ``title`` and ``text``, one row an article; the texts join to that of `text`."""
    whole = text(split)
    heads = [m for m in _TITLE.finditer(whole) if _stands_alone(whole, m)]
    starts = [0] + [m.start() for m in heads[1:]]
    ends = starts[1:] + [len(whole)]
    return pd.DataFrame({
        "item": [str(i) for i in range(len(heads))],
        "title": [m.group().strip(" =\n") for m in heads],
        "text": [whole[a:b] for a, b in zip(starts, ends, strict=True)],
    })


def _stands_alone(whole: str, match: re.Match) -> bool:
    """A title has an empty line (one blank) before and after it; a formula may not."""
    before = whole[: match.start()]
    return (not before.strip() or before.endswith("\n \n")) and whole.startswith(" \n", match.end())
