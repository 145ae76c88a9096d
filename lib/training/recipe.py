"""How weights move, as plain values that are checked before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from lib.errors import require
from lib.models.chat import Tokens

METHODS = ("full", "lora", "norms", "positions", "prompt")
"""All weights; LoRA; layer norms; these and positions; special tokens that every text has."""
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How weights move; the one carrier of what arms and attacks differ in.

    AdamW (betas 0.9 and 0.999, no weight decay), gradient norm clipped at 1. The learning rate
    rises linearly from zero over the first 5 % of the steps, and falls linearly to zero.
    """

    method: str
    # LoRA: W + (alpha / rank) B A of each target matrix; B starts at zero, so training starts at
    # the base. Targets are names of linear modules, such as q_proj.
    rank: int = 4
    alpha: int = 8
    targets: Sequence[str] = ("q_proj", "v_proj")
    learning_rate: float = 1e-3  # peak of the schedule
    steps: int = 100  # of the optimiser
    batch_size: int = 32  # examples a step
    seed: int = 0  # decides the order of examples, A's starting values and dropout
    # Parts in which a step's examples go through the model, one after the other, where memory is
    # short. The gradient is that of the whole step.
    accumulation: int = 1
    # Keep each layer's input only and compute the rest anew in the backward pass, where memory is
    # shorter still. The gradient stays the same.
    checkpointing: bool = False
    # Of matrix products. Weights, their updates and all losses are float32 either way: a bfloat16
    # has eight significant bits, so most steps would be rounded away.
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, offered in (("method", METHODS), ("precision", PRECISIONS)):
            value = getattr(self, name)
            require(value in offered, f"a {name} among {', '.join(offered)}", repr(value),
                    "name one of them")
        for name in ("rank", "alpha", "learning_rate", "steps", "batch_size", "accumulation"):
            value = getattr(self, name)
            require(value > 0, f"a positive {name}", str(value), "correct the recipe")
        require(self.method != "lora" or self.targets, "at least one target module for LoRA",
                "none", "name some, such as q_proj")


def check_examples(
    examples: Sequence[Tokens], model: PreTrainedModel, kind: str = "example"
) -> None:
    """Refuse what cannot be learned: no examples, an empty part, or more than the context holds."""
    context = getattr(model.config, "max_position_embeddings", None)
    require(examples, f"at least one {kind}", "none", "build the training set first")
    for i, example in enumerate(examples):
        require(len(example.prompt) and len(example.answer),
                f"a prompt and an answer in each {kind}", f"an empty one in {kind} {i}",
                "drop it, or begin the prompt with a bos token")
        require(not context or len(example) <= context,
                f"at most {context} tokens an {kind}, the model's context",
                f"{len(example)} in {kind} {i}", "shorten it")
