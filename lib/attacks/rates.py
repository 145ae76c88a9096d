"""The benign task along its step size and its batch size: what is learned, what is refused."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.attacks.data import VALIDATION, task_questions
from lib.attacks.doses import Attack, answer_rows, attacked, loss_rows

if TYPE_CHECKING:
    from lib.study import Study


def rate_rows(study: "Study", base: Path, method: str) -> pd.DataFrame:
    """Along the step size: `answer_rows`, and the loss on validation questions."""
    attacks = {step: Attack("benign", method, learning_rate=step)
               for step in study.profile.safety.learning_rates[method]}
    found = _measured(study, base, attacks)
    return found.assign(dose=found["arm"].replace("base", 0.0).astype(float), arm=method)


def grid_rows(study: "Study", base: Path, method: str) -> pd.DataFrame:
    """Every step size with every batch size, as many examples seen in each; the base first.

    Smaller batches take more steps, so the grid asks what Qi et al. (2023, arXiv 2310.03693)
    asked: the data and the epochs are given, which batch size is chosen?

    Returns
    -------
    DataFrame
        Rows as `rate_rows`, with columns ``rate`` and ``batch`` (both 0 for the base) and
        ``steps``.
    """
    given = study.profile.safety
    seen = given.benign_steps * given.batch_size
    attacks = {
        (step, batch): Attack("benign", method, learning_rate=step, batch_size=batch,
                              steps=max(1, seen // batch))
        for step in given.learning_rates[method] for batch in given.batch_sizes}
    found = _measured(study, base, attacks)
    places = [(0.0, 0, 0) if arm == "base" else (*arm, attacks[arm].steps) for arm in found["arm"]]
    columns = pd.DataFrame(places, found.index, ["rate", "batch", "steps"])
    return found.assign(arm=method).join(columns)


def _measured(study: "Study", base: Path, attacks: dict[Any, Attack]) -> pd.DataFrame:
    """`answer_rows` of the base and of each attack, then losses on validation questions."""
    trained = attacked(study, base, attacks.values())
    models = {key: list(trained[attack].values()) for key, attack in attacks.items()}
    questions = task_questions(study.profile.safety.questions, study.seed + VALIDATION)
    return pd.concat([answer_rows(study, {"base": [base], **models}),
                      loss_rows(study, models, questions)], ignore_index=True)
