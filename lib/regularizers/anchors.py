"""Anchors: text on which a tuned model should still speak like its base.

An anchor is an `Example`; the positions of its answer are scored, from the **first** answer token
on. That token decides between refusal and compliance, so a penalty that skips it protects nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.errors import InvalidValueError
from lib.finetune import Example, Regularizer
from lib.finetune.recipe import check_examples


def text_anchors(texts: Sequence[Sequence[int]]) -> list[Example]:
    """Anchors from plain text, every position scored: the bos token is all the prompt.

    Parameters
    ----------
    texts : sequence of token ids
        Each begins with the tokenizer's bos token.
    """
    return [Example(text[:1], text[1:]) for text in texts]


@dataclass(frozen=True)
class Anchored(Regularizer):
    """A regulariser with anchors; they are kept as tuples of integers.

    Raises
    ------
    InvalidValueError
        No anchors, or an anchor without a scored position: either way the penalty would be
        zero whatever the model does, and the run would look regularised without being so.
    """

    anchors: Sequence[Example]

    def __post_init__(self) -> None:
        if not self.anchors:
            raise InvalidValueError(
                "at least one anchor",
                "none, which protects nothing",
                "give some, or leave the regularizer out",
            )
        for i, anchor in enumerate(self.anchors):
            if not len(anchor.answer):
                raise InvalidValueError(
                    "an answer in each anchor, since its positions are the ones that are scored",
                    f"none in anchor {i}, which protects nothing",
                    "add the base model's own answer, or use text_anchors for plain text",
                )
        plain = tuple(
            Example(tuple(map(int, a.prompt)), tuple(map(int, a.answer))) for a in self.anchors
        )
        object.__setattr__(self, "anchors", plain)

    def check_context(self, model: PreTrainedModel) -> None:
        """Refuse anchors without a prompt or beyond the model's context."""
        check_examples(self.anchors, getattr(model.config, "max_position_embeddings", None))


@dataclass(frozen=True)
class Weighted(Anchored):
    """Anchors with a fixed strength; at zero nothing is computed.

    Raises
    ------
    InvalidValueError
        As `Anchored`; a negative or infinite strength.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength("strength", self.strength)

    @property
    def active(self) -> bool:
        """False at zero strength."""
        return self.strength > 0


def check_strength(name: str, value: float) -> None:
    """Refuse a negative or infinite strength.

    Raises
    ------
    InvalidValueError
    """
    if not 0 <= value < float("inf"):
        raise InvalidValueError(
            f"a finite {name} of at least zero", str(value), "correct the regularizer"
        )


def check_positive(name: str, value: float) -> None:
    """Refuse what is not a positive finite number.

    Raises
    ------
    InvalidValueError
    """
    if not 0 < value < float("inf"):
        raise InvalidValueError(f"a positive {name}", str(value), "correct the regularizer")


def drops_out(model: PreTrainedModel) -> bool:
    """Whether training mode changes what a model says: some rate of dropout is not zero.

    Adapters have layers for it; attention drops out without one, by the configuration.
    """
    rates = [layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout)]
    rates += [value for name, value in model.config.to_dict().items() if "drop" in name]
    return any(rates)


@contextmanager
def without_dropout(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode inside; with dropout even the base would drift from itself."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
