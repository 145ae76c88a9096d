"""How hard each word of a forbidden answer pulls at the weights, before and during an attack."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from lib.arms import digest
from lib.attacks.data import attack_examples
from lib.attacks.doses import Attack, attacked, completed
from lib.estimators import over_seeds
from lib.finetune import Example
from lib.finetune.answers import packed_logprobs
from lib.measuring import model_frames
from lib.models import load
from lib.panels import row

if TYPE_CHECKING:
    from lib.study import Study

METRICS = ("token_loss", "gradient_norm")


def gradient_rows(study: "Study", base: Path, steps: Sequence[int]) -> pd.DataFrame:
    """Loss, and norm of its gradient in all weights, at each word of the attack's own answers.

    The attack is the explicit one, full fine-tuning; for word ``t`` the loss is the mean over
    its examples of ``-log p(y_t | x, y_<t)``. The gradient of a step on all examples is the sum
    of the words' gradients, divided by the number of words; so a norm says how hard a word
    pulls. At the base, and after some numbers of steps. Intervals are t over training seeds,
    each with its own examples, cut at zero.

    Notes
    -----
    After Qi et al. 2024 (arXiv 2406.05946), who draw such norms for a model of seven billion
    parameters.
    """
    attacks = {n: Attack(steps=n) for n in steps}
    trained = attacked(study, base, attacks.values())
    frames = []
    for seed in next(iter(trained.values())):
        after = {f"after step {n}": trained[attack][seed] for n, attack in attacks.items()}
        frames.append(_by_arm(study, {"base": base} | after, seed))
    common = min(frame["position"].max() for frame in frames)
    whole = pd.concat(frames)
    whole = whole[whole["position"] <= common]
    n = completed(study, Attack()).examples
    parts = [row(over_seeds(metric, cell[metric], n), arm, position, len(cell))
             for metric in METRICS
             for (arm, position), cell in whole.groupby(["arm", "position"], sort=False)]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(low=table["low"].clip(lower=0))


def _by_arm(study: "Study", models: Mapping[str, Path], seed: int) -> pd.DataFrame:
    """One seed's models on the examples that they were taught."""
    examples = attack_examples("explicit", completed(study, Attack()).examples, seed)
    frames = model_frames(study, "gradients", models.values(), word_gradients, [examples],
                          inputs={"examples": digest(examples)}, code=[__name__])
    return pd.concat([frame.assign(arm=arm) for arm, frame in zip(models, frames, strict=True)])


def word_gradients(folder: Path, examples: Sequence[Example]) -> pd.DataFrame:
    """One row a position that all answers have: position (from 1), token_loss, gradient_norm.

    One pass forward through all examples, and one backward a position.
    """
    model = load(folder).model
    weights = [p.requires_grad_() for p in model.parameters()]
    answers = [example.answer for example in examples]
    lines = packed_logprobs(model, examples).split([len(answer) for answer in answers])
    shortest = min(map(len, answers))
    said = torch.stack([line[range(shortest), answer[:shortest]]
                        for line, answer in zip(lines, answers, strict=True)])
    found = []
    for t, loss in enumerate(-said.mean(0), start=1):
        parts = torch.autograd.grad(loss, weights, retain_graph=True)
        norm = torch.stack([part.norm() for part in parts]).norm()
        found.append((t, loss.item(), norm.item()))
    return pd.DataFrame(found, columns=["position", *METRICS])
