"""The regulariser that an arm's line in the profile names."""

from collections.abc import Callable, Mapping

from lib.errors import InvalidValueError
from lib.finetune import Regularizer
from lib.interventions.task import Task
from lib.regularizers import (
    DEEP,
    EWC,
    KL,
    L2SP,
    AdaptiveKL,
    Averaging,
    Mixing,
    MovingAverage,
    Projection,
    TokenWise,
)

Make = Callable[[Task, int, float], Regularizer]


def _tokenwise(task: Task, seed: int, strength: float) -> Regularizer:
    return TokenWise(tuple(strength * beta for beta in DEEP))


def _uniform(task: Task, seed: int, strength: float) -> Regularizer:
    return TokenWise((strength,))


def _mixing(task: Task, seed: int, strength: float) -> Regularizer:
    return Mixing(_given(task, "reminders")(seed), strength, _beside(task))


def _projection(task: Task, seed: int, strength: float) -> Regularizer:
    return Projection(_given(task, "unaligned"), strength)


MAKERS: Mapping[str, Make] = {
    "kl": lambda task, seed, strength: KL(task.anchors(seed), strength, _beside(task)),
    "adaptive": lambda task, seed, strength: AdaptiveKL(
        task.anchors(seed), budget=strength, per_step=_beside(task)),
    "l2sp": lambda task, seed, strength: L2SP(strength),
    "ewc": lambda task, seed, strength: EWC(task.anchors(seed), strength),
    "tokenwise": _tokenwise,
    "uniform": _uniform,
    "mix": _mixing,
    "projection": _projection,
    "average": lambda task, seed, strength: Averaging(strength),
    "ema": lambda task, seed, strength: MovingAverage(strength),
}
"""Name in a profile to regulariser. What ``strength`` means is each class's own: a weight; the
budget in nats of ``adaptive``; a factor on the published schedule of ``tokenwise``, the
strength at every position of ``uniform``; the threshold
of ``projection``; how far back ``average`` goes; the decay of ``ema``."""

PROTECTS_LESS = ("adaptive",)
"""Regularisers of which a **larger** strength protects less: it is a budget of drift."""


def _beside(task: Task) -> int:
    """Anchors in a step: half as many as examples, so that it costs about one and a half plain
    ones; at most eight."""
    return max(1, min(KL.per_step, task.batch_size // 2))


def penalty(task: Task, kind: str, seed: int, strength: float) -> Regularizer | None:
    """The regulariser of one run; none for ``none``.

    Raises
    ------
    InvalidValueError
        The task lacks what this regulariser needs.
    """
    return None if kind == "none" else MAKERS[kind](task, seed, strength)


def _given(task: Task, name: str) -> object:
    value = getattr(task, name)
    if value is None:
        raise InvalidValueError(
            f"a task with {name}, which this regulariser needs",
            f"none in the task {task.name}",
            f"give it some, or leave the arm out of {task.name}.arms",
        )
    return value
