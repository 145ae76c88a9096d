"""KL to the frozen base on anchors, with a fixed strength.

KL to the frozen base on anchors, as strong as a budget of drift demands.

Safety-data mixing: keep teaching the answers that must not be forgotten.

The token-wise constrained objective: an answer's first tokens move little, others freely.

How far weights have moved from the base, tensor by tensor.

L2-SP: a spring from every weight to where it started.

EWC: springs from every weight to its start, stiff where the base's answers depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import InvalidValueError
from lib.training.batching import IGNORED, batch_plan, collate
from lib.training.drift import AnchorDrift, Anchored, Weighted, check_positive, check_strength
from lib.training.objective import Penalty, Regularizer, answer_logits, answer_loss, scored_logprobs
from lib.training.recipe import Example, Recipe


@dataclass(frozen=True)
class KL(Weighted):
    """Task loss plus ``strength * KL(base || tuned)``.

    The direction is forward, from the base: a position costs most where the tuned model has
    taken probability away from something that the base says, such as the first word of a
    refusal. The reverse, ``KL(tuned || base)``, would hardly mind if one of several answers of
    the base were forgotten. Forward also needs nothing of the base but numbers that can be
    computed once. Value and gradient are zero at the base, so a zero in the first step is right.

    Attributes
    ----------
    anchors : sequence of Example
        Scored on their answers; plain text through `text_anchors`.
    strength : float
        Nats of task loss (a mean over answer tokens) that one nat of drift (a mean over scored
        anchor positions) is worth.
    per_step : int
        Anchors in each step; the cost of a step grows with it.

    Raises
    ------
    InvalidValueError
        As `Weighted`; a number out of range.

    Notes
    -----
    Adds the figure ``drift``: KL over all anchors after training, nats a position.
    """

    per_step: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("per_step", self.per_step)

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """Reference log-probabilities, and the anchors of each step."""
        self.check_context(model)
        drift = AnchorDrift(model, self.anchors, self.per_step, recipe)
        return DriftPenalty(drift, self.strength)


class DriftPenalty(Penalty):
    """``strength * drift``."""

    def __init__(self, drift: AnchorDrift, strength: float) -> None:
        super().__init__()
        self.drift, self.strength = drift, strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted drift on this step's anchors."""
        drift = self.drift.step(model)
        self.history.append({"drift": drift.item(), "strength": self.strength})
        return self.strength * drift

    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Drift on all anchors, and the strength at the end."""
        return {"drift": self.drift.overall(model), "strength": self.strength}


@dataclass(frozen=True)
class AdaptiveKL(Anchored):
    """Task loss subject to ``KL(base || tuned) <= budget`` on anchors.

    The strength is the constraint's multiplier, moved by dual ascent after each step,

    ``strength <- max(0, strength + rate * (drift - budget) / budget^2)``,

    which is plain ascent, with step ``rate``, on the multiplier of ``drift / budget <= 1``. So
    it rises while the anchors drift beyond the budget and falls while they do not. ``drift`` is
    that of the step's own anchors. Stated as a budget, protection means the same for every
    attack, learning rate and number of steps, which a fixed strength does not.

    Attributes
    ----------
    anchors : sequence of Example
        Scored on their answers; plain text through `text_anchors`.
    budget : float
        Drift allowed, nats a scored position, mean over anchors.
    rate : float
        Step of dual ascent; nats of task loss for a drift of twice the budget.
    initial : float
        Strength of the first step, as in `KL`.
    per_step : int
        Anchors in each step; the cost of a step grows with it.

    Raises
    ------
    InvalidValueError
        As `Anchored`; a budget, rate or number that is not positive.

    Notes
    -----
    Adds the figures ``drift`` (KL over all anchors after training) and ``strength`` (last). The
    budget binds anchors on average: text unlike any anchor may drift further.
    """

    budget: float = 0.02
    rate: float = 0.001
    initial: float = 1.0
    per_step: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength("initial", self.initial)
        for name in ("budget", "rate", "per_step"):
            check_positive(name, getattr(self, name))

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """Reference log-probabilities, the anchors of each step, and the first strength."""
        self.check_context(model)
        drift = AnchorDrift(model, self.anchors, self.per_step, recipe)
        return DualAscent(drift, self.initial, self.budget, self.rate)


class DualAscent(DriftPenalty):
    """``strength * drift`` with a strength that follows the drift."""

    def __init__(self, drift: AnchorDrift, strength: float, budget: float, rate: float) -> None:
        super().__init__(drift, strength)
        self.budget, self.rate = budget, rate

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted drift on this step's anchors; then the multiplier moves, for the next one."""
        loss = super().step(model)
        excess = self.history[-1]["drift"] / self.budget - 1
        self.strength = max(0.0, self.strength + self.rate * excess / self.budget)
        return loss


@dataclass(frozen=True)
class Mixing(Weighted):
    """Task loss plus ``strength`` times the cross-entropy of the anchors' own answers.

    Each step sees its full batch of training examples, and besides it ``per_step`` anchors. So
    the task gets the same exposure at any strength, and ten examples are enough to mix with;
    rows mixed into the data would crowd it out, or round to none. Up to a common factor, pooling
    rows is the case in which ``strength`` is the anchors' answer tokens over the task's.

    Attributes
    ----------
    anchors : sequence of Example
        Requests with the answers wanted, such as forbidden ones with refusals. Unlike those of
        `KL` the answers need not be the base's.
    strength : float
        Weight of a nat of the anchors' loss.
    per_step : int
        Anchors in each step; the cost of a step grows with it.

    Raises
    ------
    InvalidValueError
        As `Weighted`; a number out of range.

    Notes
    -----
    Bianchi et al., *Safety-Tuned LLaMAs*, ICLR 2024, arXiv 2309.07875, mix rows; the sum of
    losses is the form of later code. More anchors of refusals also mean more needless refusals.
    """

    per_step: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("per_step", self.per_step)

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """The anchors of each step."""
        self.check_context(model)
        alike = [1] * len(self.anchors)  # no length buckets, so that a step mixes kinds
        batches = batch_plan(alike, self.per_step, recipe.steps, recipe.seed)
        return _Reminder(self.anchors, batches, self.strength)


class _Reminder(Penalty):
    """The anchors' loss in one run."""

    def __init__(
        self, anchors: tuple[Example, ...], batches: list[list[int]], strength: float
    ) -> None:
        super().__init__()
        self.anchors, self.batches, self.strength = anchors, iter(batches), strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted mean cross-entropy of this step's anchors."""
        batch = collate([self.anchors[i] for i in next(self.batches)], model.device)
        loss = answer_loss(model, **batch)
        self.history.append({"anchor_loss": loss.item()})
        return self.strength * loss

DEEP = (0.5, 2.0, 2.0, 2.0, 2.0, 0.1)
"""Published strengths: 0.5 for the first answer token, 2 for the next four, 0.1 from there on."""
COLUMN = "w_"
"""Before an answer token's number, from 1, in the record of weights."""


@dataclass(frozen=True)
class TokenWise(Regularizer):
    """Replaces cross-entropy by, for answer token ``t`` of example ``(x, y)``,

    ``-(2 / beta_t) log sigmoid(beta_t * delta_t)``,
    ``delta_t = log p(y_t | x, y_<t) - log p_base(y_t | x, y_<t)``,

    averaged over answer tokens. Its gradient is that of cross-entropy times
    ``w_t = 2 sigmoid(-beta_t * delta_t)``: 1 at the base, so that training starts like plain
    training, and towards 0 once a token has become much likelier than the base had it. Small
    strengths approach cross-entropy; at ``beta_t = 0`` it is used itself, its gradient being the
    limit. No anchors: the constraint is on the training examples, so it protects from what they
    say and from nothing else.

    Attributes
    ----------
    betas : sequence of float
        Strength for each answer token from the first; the last one holds for all that follow.
        The uniform controls are ``(0.1,)`` and ``(2.0,)``.

    Raises
    ------
    InvalidValueError
        No strengths, or a negative one.

    Notes
    -----
    Records ``w_t`` by position in each step, mean over the step's examples.

    Qi et al., *Safety Alignment Should Be Made More Than Just a Few Tokens Deep*, ICLR 2025,
    arXiv 2406.05946, equation 3. The authors' code averages over tokens as here, but bounds
    ``w_t`` below by 0.001 and uses AdamW with ``beta_1 = 0.5``; here nothing is bounded and the
    optimiser is that of every other run.
    """

    betas: Sequence[float] = DEEP

    def __post_init__(self) -> None:
        if not self.betas:
            raise InvalidValueError("at least one strength", "none", "correct the regularizer")
        for beta in self.betas:
            check_strength("beta", beta)
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))

    @property
    def active(self) -> bool:
        """False if all strengths are zero."""
        return any(self.betas)

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """The base's log-probability of every answer token of the training set."""
        return _Constraint(_reference(model, examples), self.betas)


class _Constraint(Penalty):
    """The objective, given the base's log-probabilities (examples, longest answer)."""

    def __init__(self, reference: torch.Tensor, betas: tuple[float, ...]) -> None:
        super().__init__()
        self.reference = reference
        self.betas = torch.tensor(betas, device=reference.device)
        self._parts: list[torch.Tensor] = []
        self._firsts: list[int] = []

    def answers(
        self, model: PreTrainedModel, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The objective and plain cross-entropy, both summed over answer tokens."""
        logits, targets = answer_logits(model, batch["input_ids"], batch["labels"])
        scored = targets != IGNORED
        loss = functional.cross_entropy(logits[scored].float(), targets[scored], reduction="none")
        t = (scored.cumsum(1) - 1)[scored]  # 0 for the first answer token
        rows = batch["rows"].to(scored.device)[:, None].expand_as(scored)[scored]
        delta = -loss - self.reference[rows, t]
        beta = self.betas[t.clamp(max=len(self.betas) - 1)]
        # -log sigmoid(z) = softplus(-z), which does not overflow.
        divisor = torch.where(beta > 0, beta, 1.0)
        constrained = 2 / divisor * functional.softplus(-beta * delta)
        self._record(t, 2 * torch.sigmoid(-beta * delta.detach()))
        return torch.where(beta > 0, constrained, loss).sum(), loss.sum()

    def step(self, model: PreTrainedModel) -> None:
        """Nothing to add; what was recorded last is the first part of a step."""
        self._firsts.append(len(self._parts) - 1)

    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Weights of each step, as its history: a mean over all parts of the step."""
        for first, end in pairwise([*self._firsts, len(self._parts)]):
            total, count = torch.stack(self._parts[first:end]).sum(0).tolist()
            means = [a / b if b else float("nan") for a, b in zip(total, count, strict=True)]
            self.history.append({f"{COLUMN}{t}": w for t, w in enumerate(means, start=1)})
        return {}

    def _record(self, t: torch.Tensor, weights: torch.Tensor) -> None:
        """Sums of weights, and how many, by position."""
        longest = self.reference.shape[1]
        self._parts.append(torch.stack([
            torch.bincount(t, weights, longest), torch.bincount(t, minlength=longest)]))


def _reference(model: PreTrainedModel, examples: Sequence[Example]) -> torch.Tensor:
    """Log-probability of each answer token: (examples, longest answer), zero beyond an answer."""
    longest = max(len(example.answer) for example in examples)
    reference = torch.zeros(len(examples), longest, device=model.device)
    for i, logprobs in scored_logprobs(model, examples):
        answer = torch.tensor(examples[i].answer, device=model.device)
        reference[i, : len(answer)] = logprobs.gather(1, answer[:, None])[:, 0]
    return reference


class Displacement:
    """``theta - theta_0`` of every weight that training moves, differentiable.

    For LoRA the moved weights are those of the **merged** model, ``(alpha / rank) B A`` of each
    target matrix, and not the factors: many factors make one matrix, and as ``B`` starts at zero
    the loss has no gradient in ``A`` there. Full fine-tuning keeps a copy of the weights at the
    start (of the numbers, not a model that could run); LoRA needs none.

    Attributes
    ----------
    weights : list of Parameter
        At the base: what moves in a full run, the target matrices under an adapter.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._layers = adapted_layers(model)
        if self._layers:
            self.weights = [layer.get_base_layer().weight for layer in self._layers]
        else:
            self.weights = [p for p in model.parameters() if p.requires_grad]
            self._start = [p.detach().clone() for p in self.weights]

    def tensors(self) -> list[torch.Tensor]:
        """Each weight's displacement, in the shape and order of `weights`."""
        if self._layers:
            return [layer.get_delta_weight("default") for layer in self._layers]
        return [p - start for p, start in zip(self.weights, self._start, strict=True)]


def adapted_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Modules with a LoRA update; none in a full run."""
    return [module for module in model.modules() if hasattr(module, "get_delta_weight")]


@dataclass(frozen=True)
class L2SP(Regularizer):
    """Task loss plus ``strength / 2 * ||theta - theta_0||^2`` over all weights that move.

    For LoRA ``theta`` is the merged weight, so the norm is ``||(alpha / rank) B A||``. Value and
    gradient are zero at the base. No anchors: every direction costs the same, whatever it does
    to behaviour.

    Attributes
    ----------
    strength : float
        Nats of task loss per half squared unit of distance.

    Raises
    ------
    InvalidValueError
        A negative strength.

    Notes
    -----
    Li, Grandvalet & Davoine, *Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks*, ICML 2018, arXiv 1802.01483. Adds the figure ``distance``, the norm after training.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_strength("strength", self.strength)

    @property
    def active(self) -> bool:
        """False at zero strength."""
        return self.strength > 0

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """Where the weights start."""
        return _Spring(Displacement(model), self.strength)


class _Spring(Penalty):
    """The penalty of one run."""

    def __init__(self, displacement: Displacement, strength: float) -> None:
        super().__init__()
        self.displacement, self.strength = displacement, strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """``strength / 2`` times the squared distance."""
        return self.strength / 2 * self._squared()

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """The distance."""
        return {"distance": self._squared().sqrt().item()}

    def _squared(self) -> torch.Tensor:
        return sum(moved.square().sum() for moved in self.displacement.tensors())


@dataclass(frozen=True)
class EWC(Weighted):
    """Task loss plus ``strength / 2 * sum_i F_i (theta_i - theta_0,i)^2``.

    ``F`` is the diagonal of the base's Fisher information on the anchors, a mean over scored
    positions. ``1/2 (theta - theta_0)' F (theta - theta_0)`` is the second-order expansion of the
    drift that `KL` penalises, so strengths are in the same unit; EWC keeps the diagonal only.

    For LoRA both ``F`` and the displacement are those of the **merged** weight. Springs on the
    factors would be a trap: at the start ``B = 0``, so the log-likelihood has no gradient in
    ``A``, its Fisher is exactly zero, and ``A`` would be free to go anywhere.

    Attributes
    ----------
    anchors : sequence of Example
        Scored on their answers; plain text through `text_anchors`.
    strength : float
        As in `KL`.
    sampled : int
        Anchors, drawn at random, whose mean is taken for that of all. Each costs one backward
        pass before training.

    Raises
    ------
    InvalidValueError
        As `Weighted`; a number out of range; as training starts, a Fisher information that is
        zero throughout.

    Notes
    -----
    Kirkpatrick et al., *Overcoming catastrophic forgetting in neural networks*, PNAS 2017,
    arXiv 1612.00796. Adds the figure ``penalty``, its value after training in nats.
    """

    sampled: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("sampled", self.sampled)

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """Fisher information, and where the weights start."""
        self.check_context(model)
        displacement = Displacement(model)
        drawn = np.random.default_rng(recipe.seed).permutation(len(self.anchors))[: self.sampled]
        some = [self.anchors[i] for i in sorted(drawn)]
        information = fisher(model, displacement.weights, some, recipe.seed)
        if not any(bool(part.any()) for part in information):
            raise InvalidValueError(
                "anchors on whose words the base could change its mind",
                "a Fisher information of zero in every weight, which protects nothing",
                "give other anchors",
            )
        return _Springs(displacement, information, self.strength)


class _Springs(Penalty):
    """The penalty of one run."""

    def __init__(
        self, displacement: Displacement, information: list[torch.Tensor], strength: float
    ) -> None:
        super().__init__()
        self.displacement, self.information = displacement, information
        self.strength = strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """``strength / 2`` times the squared distance, weighted by the Fisher information."""
        pairs = zip(self.information, self.displacement.tensors(), strict=True)
        return self.strength / 2 * sum((f * moved.square()).sum() for f, moved in pairs)

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """The penalty's value."""
        return {"penalty": self.step(model).item()}


def fisher(
    model: PreTrainedModel,
    weights: Sequence[torch.nn.Parameter],
    anchors: Sequence[Example],
    seed: int,
) -> list[torch.Tensor]:
    """Diagonal Fisher information, ``E (d log p(y | context) / d theta_i)^2`` a scored position.

    Contexts are the anchors'; the words ``y`` are **drawn from the model** at every position.
    With the anchors' own words instead (the "empirical Fisher") it would vanish exactly where
    the base is sure and right. Gradients of several positions of an anchor are squared as one
    sum: the score has mean zero given the context, so cross terms vanish in expectation
    (Kunstner, Balles & Hennig, NeurIPS 2019, arXiv 1905.12558).

    Returns
    -------
    list of Tensor
        In the shapes of ``weights``.
    """
    frozen = [weight for weight in weights if not weight.requires_grad]
    generator = torch.Generator(model.device).manual_seed(seed)
    total = [torch.zeros_like(weight) for weight in weights]
    for weight in frozen:  # matrices under an adapter
        weight.requires_grad_(True)
    for anchor in anchors:
        logits, targets = answer_logits(model, **collate([anchor], model.device))
        logits = logits[targets != IGNORED].float()
        drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
        loss = functional.cross_entropy(logits, drawn, reduction="sum")
        for part, gradient in zip(total, torch.autograd.grad(loss, weights), strict=True):
            part += gradient.square()
    for weight in frozen:
        weight.requires_grad_(False)
    positions = sum(len(anchor.answer) for anchor in anchors)
    return [part / positions for part in total]
