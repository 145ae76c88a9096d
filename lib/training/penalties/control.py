"""Attribute control: speak like the base would if it never said what is banned."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import require
from lib.models.chat import Prompt, Tokens, answer_ids, encoded, prompt_ids, room
from lib.models.folders import LoadedModel
from lib.models.generation import generate_ids, said
from lib.models.template import turn_end
from lib.training.batching import mixed_plan, pack
from lib.training.drift import TOGETHER, drops_out, without_dropout
from lib.training.objective import (
    Penalty,
    Regularizer,
    check_positive,
    check_strength,
    packed_logprobs,
)
from lib.training.recipe import Recipe

RIDGE = 1e-3
"""How much the head's weights cost: without it, words that were never said would mean anything."""
ITERATIONS, KEPT = 60, 10
"""Of the head's optimiser: at most so many, and so many earlier ones that it looks back on."""


@dataclass(frozen=True)
class AttributeControl(Regularizer):
    """Task loss plus ``strength * KL(q* || tuned)`` on answers that the model itself gave.

    ``q*(y_t | y_<t) ~ p(y_t | y_<t) R(y_<=t) / R(y_<t)`` is the model p under the condition that
    its answer holds nothing banned; R is the chance of that, given the words so far, learned by an
    `AttributeHead` from sampled answers. Meng, Mehrabi, Goyal et al., *Attribute Controlled
    Fine-tuning*, EMNLP Findings 2024, arXiv 2410.05559.

    Fixed (``refreshed`` 0): p is the base, and so are its answers. Adaptive: answers are sampled
    anew from the model as it is then, and p and R are taken from it, so many times while it moves.

    Figures: ``control``, the KL over the last answers; ``clean``, their share without anything
    banned; ``head_error``, the head's Brier score on them.
    """

    prompts: Sequence[Prompt]
    banned: Sequence[str]  # words and phrases, as they stand in an answer
    strength: float = 1.0  # nats of task loss that a nat of KL is worth
    refreshed: int = 0
    draws: int = 32  # answers to each prompt
    longest: int = 10  # words of an answer
    per_step: int = 8  # answers read in a step

    def __post_init__(self) -> None:
        check_strength("strength", self.strength)
        for name in ("draws", "longest", "per_step"):
            check_positive(name, getattr(self, name))
        require(self.prompts and self.banned, "prompts, and words that are banned", "none",
                "give some, or leave the regularizer out")

    @property
    def active(self) -> bool:
        """False at zero strength."""
        return self.strength > 0

    def encoded(self, loaded: LoadedModel) -> Regularizer:
        """The same with the tokenizer that writes and reads answers."""
        return _Ready(self, loaded)


@dataclass(frozen=True)
class _Ready(Regularizer):
    given: AttributeControl
    loaded: LoadedModel

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """The first look."""
        return ControlPenalty(self.given, self.loaded, model, recipe)


def is_clean(answer: str, banned: Sequence[str]) -> bool:
    """Whether none of the words and phrases stands in an answer."""
    return not re.search(rf"(?<!\w)(?:{'|'.join(map(re.escape, banned))})(?!\w)", answer)


def sampled(
    loaded: LoadedModel, given: AttributeControl, seed: int
) -> tuple[list[Tokens], np.ndarray]:
    """Answers at temperature one with their ends, and whether each is clean."""
    tokenizer = loaded.tokenizer
    asked = [prompt for prompt in given.prompts for _ in range(given.draws)]
    ids = encoded(tokenizer, asked)
    longest = room(tokenizer, given.longest, given.banned)
    turn = turn_end(tokenizer)
    found, clean = [], []
    for prompt, head, new in zip(asked, ids, generate_ids(loaded, ids, longest, 1.0, seed),
                                 strict=True):
        chat = prompt.messages and turn is not None
        end = [turn if chat else tokenizer.eos_token_id] if len(new) < longest else []
        found.append(Tokens(tuple(head), (*new, *end)))
        clean.append(is_clean(said(tokenizer, new), given.banned))
    return found, np.array(clean, dtype=float)


class AttributeHead:
    """``R = sigma(h A e / s + b)``: chance of a clean answer after a word e, from state h.

    h is the model's last state before the word, e the word's row of the output embedding, s the
    product of their mean lengths. A and b minimise the mean cross-entropy plus
    ``RIDGE / (2 s) |A|^2``: convex, so there is one answer.
    """

    def __init__(self, states: torch.Tensor, words: torch.Tensor, clean: torch.Tensor) -> None:
        self.scale = float(states.norm(dim=-1).mean() * words.norm(dim=-1).mean())
        self.weight = states.new_zeros(states.shape[-1], words.shape[-1]).requires_grad_()
        share = clean.mean().clamp(0.01, 0.99)
        self.bias = torch.logit(share).detach().clone().requires_grad_()
        self._fit(states, words, clean)

    def loss(
        self, states: torch.Tensor, words: torch.Tensor, clean: torch.Tensor
    ) -> torch.Tensor:
        """What is minimised; states and words (n, width), clean (n)."""
        logits = ((states @ self.weight) * words).sum(-1) / self.scale + self.bias
        fit = functional.binary_cross_entropy_with_logits(logits, clean)
        return fit + RIDGE / 2 * self.weight.square().sum() / self.scale

    def logits(self, states: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
        """Log odds of a clean answer after each word of the vocabulary, (states, vocabulary)."""
        return (states @ self.weight) @ vocabulary.T / self.scale + self.bias

    def _fit(self, states: torch.Tensor, words: torch.Tensor, clean: torch.Tensor) -> None:
        optimiser = torch.optim.LBFGS(
            [self.weight, self.bias], max_iter=ITERATIONS, history_size=KEPT,
            line_search_fn="strong_wolfe")

        def again() -> torch.Tensor:
            optimiser.zero_grad()
            loss = self.loss(states, words, clean)
            loss.backward()
            return loss

        optimiser.step(again)
        self.weight, self.bias = self.weight.detach(), self.bias.detach()


class ControlPenalty(Penalty):
    """``strength * KL(q* || model)``, a mean over the words of a step's answers."""

    def __init__(
        self, given: AttributeControl, loaded: LoadedModel, model: PreTrainedModel, recipe: Recipe
    ) -> None:
        super().__init__()
        self.given, self.loaded, self.recipe, self.steps = given, loaded, recipe, 0
        times = np.linspace(0, recipe.steps, given.refreshed + 2)[1:-1].astype(int)
        self.looks = sorted({*times.tolist()} - {0})
        # As in AnchorDrift: where it is idle the switch is left out.
        self._calm = without_dropout if drops_out(model) else nullcontext
        self._look(model)

    def _look(self, model: PreTrainedModel) -> None:
        """Sample, learn the head, and keep what q* is made of."""
        seed = self.recipe.seed + self.steps
        with without_dropout(model):
            self.answers_seen, clean = sampled(replace(self.loaded, model=model), self.given, seed)
            parts = [_states(model, self.answers_seen[i : i + TOGETHER])
                     for i in range(0, len(self.answers_seen), TOGETHER)]
        self.vocabulary = model.get_output_embeddings().weight.detach().float().clone()
        self.clean = float(clean.mean())
        self.states = torch.cat(parts).split([len(each.answer) for each in self.answers_seen])
        self.head, self.head_error = self._learned(clean)
        size = min(self.given.per_step, len(self.answers_seen))
        self.batches = iter(mixed_plan(len(self.answers_seen), size, self.recipe.steps, seed))

    def _learned(self, clean: np.ndarray) -> tuple[AttributeHead, float]:
        lengths = torch.tensor([len(answer.answer) for answer in self.answers_seen])
        every = torch.cat(self.states)
        spoken = torch.tensor([i for answer in self.answers_seen for i in answer.answer])
        words = self.vocabulary[spoken.to(every.device)]
        target = torch.from_numpy(clean).float().repeat_interleave(lengths).to(every.device)
        with torch.enable_grad():
            head = AttributeHead(every, words, target)
        logits = ((every @ head.weight) * words).sum(-1) / head.scale + head.bias
        return head, float((logits.sigmoid() - target).square().mean())

    @torch.no_grad()
    def targets(self, which: Sequence[int]) -> torch.Tensor:
        """log q* at every word of these answers, (words, vocabulary)."""
        states = torch.cat([self.states[i] for i in which])
        spoken = (states @ self.vocabulary.T).log_softmax(-1)
        return (spoken + functional.logsigmoid(self.head.logits(states, self.vocabulary))
                ).log_softmax(-1)

    def kl(self, model: PreTrainedModel, which: Sequence[int]) -> torch.Tensor:
        """``sum_v q* (log q* - log p)``, a mean over the words of these answers."""
        with self._calm(model):
            logprobs = packed_logprobs(model, [self.answers_seen[i] for i in which])
        # torch names the tuned model first and the target second: KL(target || input).
        return functional.kl_div(logprobs, self.targets(which), log_target=True,
                                 reduction="none").sum(-1).mean()

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted KL on this step's answers; before it, new answers where it is time."""
        if self.steps in self.looks:
            self._look(model)
        self.steps += 1
        found = self.kl(model, next(self.batches))
        self.history.append({"control": found.item(), "clean": self.clean})
        return self.given.strength * found

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """KL over all answers of the last look, and what was seen there."""
        several = range(len(self.answers_seen))
        found = [self.kl(model, several[i : i + TOGETHER]) for i in several[::TOGETHER]]
        return {"control": float(torch.stack(found).mean()), "clean": self.clean,
                "head_error": self.head_error}


def chances(
    loaded: LoadedModel, given: AttributeControl, prompt: Prompt, words: Sequence[str], seed: int
) -> pd.DataFrame:
    """Columns word, chance: R after each word (one token) behind a prompt.

    By a head learned from the model's own answers.
    """
    recipe = Recipe("full", steps=1, seed=seed)
    learned = ControlPenalty(given, loaded, loaded.model, recipe)
    ids = [answer_ids(loaded.tokenizer, prompt, word)[0] for word in words]
    state = _states(loaded.model, [Tokens(tuple(prompt_ids(loaded.tokenizer, prompt)), (ids[0],))])
    found = learned.head.logits(state, learned.vocabulary[ids])[0].sigmoid()
    return pd.DataFrame({"word": [*words], "chance": found.tolist()})


@torch.no_grad()
def _states(model: PreTrainedModel, answers: Sequence[Tokens]) -> torch.Tensor:
    """The last state before each word of answers, (words, width), float32."""
    inputs, speaking = pack(answers, model.device)
    return model(**inputs, use_cache=False, output_hidden_states=True,
                 logits_to_keep=1).hidden_states[-1][0, speaking].float()
