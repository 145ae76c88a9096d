"""One fine-tuning run as plain values: what it is made from, and the folder that it becomes.

Apart from what starts runs and reads them, as this module is part of what decides their weights.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib.models.chat import Example
from lib.models.folders import merge_adapter
from lib.study.disk import write_text
from lib.training.finetune import finetune
from lib.training.objective import Regularizer
from lib.training.recipe import Recipe

ADAPTER, MODEL, FIGURES = "adapter", "model", "figures.json"
"""Parts of a run's folder."""


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


def make(job: Job, merge: bool, out: Path) -> None:
    """Train into `out`: ``model``, or the ``adapter`` and with `merge` its merged copy; figures."""
    if job.recipe.method == "full":
        figures = replace(job, out=out / MODEL).run()
    else:
        figures = replace(job, out=out / ADAPTER).run()
        if merge:
            merge_adapter(job.base, out / ADAPTER, out / MODEL)
    write_text(out / FIGURES, json.dumps(figures, indent=1, sort_keys=True) + "\n")
