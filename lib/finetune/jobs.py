"""Several fine-tuning jobs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.finetune.recipe import Example, Recipe, check_examples
from lib.finetune.regularizer import Regularizer
from lib.finetune.training import finetune
from lib.workers import side_by_side


@dataclass(frozen=True)
class Job:
    """The arguments of one `finetune` call."""

    base: Path
    examples: Sequence[Example]
    recipe: Recipe
    out: Path
    label: str = "finetune"
    regularizer: Regularizer | None = None

    def run(self) -> dict[str, float]:
        """Train in this process."""
        return finetune(
            self.base, self.examples, self.recipe, self.out, self.label, self.regularizer
        )


def finetune_many(jobs: Sequence[Job], workers: int) -> list[dict[str, float]]:
    """Run jobs, at most ``workers`` at a time; see `lib.workers.side_by_side`.

    A job gives the same weights, to the last bit, alone or beside others.

    Returns
    -------
    list of dict
        Training figures in the order of the jobs.

    Raises
    ------
    As `finetune`; the first failure in job order, after which waiting jobs are not started.
    """
    for job in jobs:
        check_examples(job.examples)
    return side_by_side(lambda job, run: run(job.run), jobs, workers)
