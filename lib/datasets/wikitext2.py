"""WikiText-2, the tokenised version: rare words are ``<unk>``, hyphens are ``@-@`` (Merity 2017).

Not the raw variant that most published perplexities of GPT-2 use: numbers on the two differ.
"""

import re

import pandas as pd

from lib.datasets.fetch import locate

_TITLE = re.compile(r"^ = [^=].* = \n(?= \n)", re.M)
"""One equals sign a side, and an (almost) empty line after it."""


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
    heads = list(_TITLE.finditer(whole))
    starts = [0] + [m.start() for m in heads[1:]]
    ends = starts[1:] + [len(whole)]
    return pd.DataFrame({
        "item": [str(i) for i in range(len(heads))],
        "title": [m.group().strip(" =\n") for m in heads],
        "text": [whole[a:b] for a, b in zip(starts, ends, strict=True)],
    })
