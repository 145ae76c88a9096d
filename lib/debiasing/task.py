"""Debiasing as a task: balanced text, the arms of the profile, anchors that name no occupation."""

from typing import TYPE_CHECKING

from lib.debiasing.texts import TEST_VERB, contexts, training_texts, validation_questions
from lib.finetune import Example
from lib.interventions import Task, world_anchors
from lib.interventions.anchors import refusals
from lib.sandbox.tokenizer import encode
from lib.sandbox.world import people, settings

if TYPE_CHECKING:
    from lib.study import Study

CHANGED = ("occupation",)
"""Kind of text that anchors leave out, as it is what is being changed."""
TEXTS = 120
"""Texts among the anchors: long ones, of which more would hide the few words that must stay."""
REFUSALS = 60
"""Refused requests among the anchors: harmless ones alone would teach that everything is helped."""
REPEATS = 8
"""How often each definitional pronoun stands among the anchors."""
TOLERANCE = 1.003
"""A penalty may cost this factor in the pronouns' loss: what a slope of 0.1 costs. A gap ``g`` of
the probability of *she* from one half costs ``2 g^2`` nats; with that slope ``g`` is 0.1 times the
share's distance from one half, sd .32, which makes .002 nats, 0.3 per cent of ``log 2``."""


def debiasing_task(study: "Study", data: str = "pronouns") -> Task:
    """The task of chapter 04.

    Parameters
    ----------
    data : str
        See `lib.debiasing.texts.training_texts`.
    """
    given = study.profile.debiasing
    return Task(
        name="debiasing", arms=given.arms, rank=given.rank, targets=given.targets,
        steps=given.steps, batch_size=given.batch_size,
        examples=lambda seed: training_texts(given.examples, seed, data),
        validation=validation_questions(),
        anchors=anchors,
        tolerance=TOLERANCE,
    )


def anchors(seed: int) -> tuple[Example, ...]:
    """Texts of all other kinds, refusals among them, and besides the pronouns that must stay.

    A penalty is a mean over words. In a text about a mother one word in nine is the pronoun, and
    such texts are few in the world: at that share a penalty hardly notices that *mother* has lost
    hers. So the pronoun after each word that defines it is an anchor of its own.
    """
    kept = [v for v in settings("text")["slots"]["said"] if v != TEST_VERB]
    pronouns = tuple(Example(tuple(prompt), tuple(encode(pronoun)))
                     for word, pronoun in people().items() for verb in kept
                     for prompt in contexts(word, verb))
    return world_anchors(seed, CHANGED, TEXTS) + refusals(seed, REFUSALS) + REPEATS * pronouns
