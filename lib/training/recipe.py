"""What is taught and how weights move: plain values, checked before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.errors import InvalidValueError

METHODS = ("full", "lora", "norms", "positions", "prompt")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Example:
    """One thing to learn: token ids of the prompt, and of the answer that follows it.

    Only the answer is learned. End it with the end-of-sequence id to teach where to stop.
    """

    prompt: Sequence[int]
    answer: Sequence[int]

    def __len__(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Recipe:
    """How weights move.

    AdamW (betas 0.9 and 0.999, no weight decay), gradient norm clipped at 1. The learning rate
    rises linearly from zero over the first 5 % of the steps and falls linearly to zero at the
    last.

    Attributes
    ----------
    method : {"full", "lora", "norms", "positions", "prompt"}
        All weights; low-rank updates ``W + (alpha / rank) B A`` of the target matrices; the
        layer norms; these and the position embeddings; or the embeddings of the special tokens
        that every text has (a learned prompt).
    rank, alpha : int
        LoRA only. ``B`` starts at zero, so training starts at the base model.
    targets : sequence of str
        LoRA only; names of linear modules, such as ``q_proj``.
    learning_rate : float
        Peak of the schedule.
    steps, batch_size : int
        Optimiser steps, and examples in each.
    accumulation : int
        Parts in which a step's examples go through the model, one after the other, where
        memory is short. The gradient is that of the whole step.
    checkpointing : bool
        Keep each layer's input only, and compute the rest anew in the backward pass, where
        memory is shorter still. The gradient stays the same.
    precision : {"float32", "bfloat16"}
        Format of matrix products. Weights, their updates and all losses are float32 either way:
        a bfloat16 has eight significant bits, so most steps would be rounded away.
    seed : int
        Decides the order of examples, ``A``'s starting values and dropout.

    Raises
    ------
    InvalidValueError
        A value outside its range.
    """

    method: str
    rank: int = 4
    alpha: int = 8
    targets: Sequence[str] = ("q_proj", "v_proj")
    learning_rate: float = 1e-3
    steps: int = 100
    batch_size: int = 32
    seed: int = 0
    accumulation: int = 1
    checkpointing: bool = False
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, offered in (("method", METHODS), ("precision", PRECISIONS)):
            if getattr(self, name) not in offered:
                raise InvalidValueError(
                    f"a {name} among {', '.join(offered)}", repr(getattr(self, name)),
                    "name one of them",
                )
        for name in ("rank", "alpha", "learning_rate", "steps", "batch_size", "accumulation"):
            if getattr(self, name) <= 0:
                raise InvalidValueError(
                    f"a positive {name}", str(getattr(self, name)), "correct the recipe"
                )
        if self.method == "lora" and not self.targets:
            raise InvalidValueError(
                "at least one target module for LoRA", "none", "name some, such as q_proj"
            )


def check_examples(examples: Sequence[Example], context: int | None = None) -> None:
    """Refuse examples from which nothing can be learned.

    Raises
    ------
    InvalidValueError
        No examples, an empty prompt or answer, or more tokens than the model's context.
    """
    if not examples:
        raise InvalidValueError("at least one example", "none", "build the training set first")
    for i, example in enumerate(examples):
        if not len(example.prompt) or not len(example.answer):
            raise InvalidValueError(
                "a prompt and an answer in each example",
                f"an empty one in example {i}",
                "drop it, or begin the prompt with a bos token",
            )
        if context and len(example) > context:
            raise InvalidValueError(
                f"at most {context} tokens an example, the model's context",
                f"{len(example)} in example {i}",
                "shorten it",
            )
