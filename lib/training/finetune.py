"""One fine-tuning job, from a base folder to a tuned folder."""

import gc
import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from lib.errors import require
from lib.models.chat import Example, Tokens, tokenised
from lib.models.folders import ADAPTER_CONFIG, LoadedModel, load
from lib.study.progress import track
from lib.training.adapters import adapted
from lib.training.batching import batch_plan
from lib.training.objective import Penalty, Regularizer
from lib.training.recipe import Recipe, check_examples

HISTORY = "penalty.csv"
"""Beside the weights: what a regulariser recorded in each step."""


def finetune(
    base: Path | str, examples: Sequence[Example], recipe: Recipe, out: Path | str,
    label: str = "finetune", regularizer: Regularizer | None = None,
) -> dict[str, float]:
    """Teach a base model the answers to some prompts; texts become ids by its own tokenizer.

    ``out`` becomes a model folder (``full``) or an adapter folder (every other method), in float32.
    With a regulariser of zero strength the result is that of plain training, to the last bit.

    Figures: ``first_loss`` and ``last_loss`` (cross-entropy without penalties, nats an answer
    token, means over the first and last 5 % of the steps), ``steps``, ``tokens`` (real ones seen),
    ``trainable`` and ``total`` (parameters); then the regulariser's own.

    Runs on one thread where there is no GPU, so that weights are the same to the last bit whether
    a job runs alone or beside others.
    """
    require(examples, "at least one example", "none", "build the training set first")
    require(not (Path(base) / ADAPTER_CONFIG).exists(), "a full model as the base",
            f"the adapter {base}", "merge it first")
    with _isolated(recipe.seed):
        return _run(Path(base), examples, recipe, Path(out), label, regularizer)


def trainable_share(model: PreTrainedModel) -> tuple[int, int]:
    """Numbers of parameters: (those that training moves, all). Tied weights count once."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, moves in sizes if moves), sum(n for n, _ in sizes)


def _run(
    base: Path, examples: Sequence[Example], recipe: Recipe, out: Path, label: str,
    regularizer: Regularizer | None,
) -> dict[str, float]:
    """Train and save; whatever it holds in memory is free once it returns."""
    loaded = load(base)
    taught = tokenised(loaded.tokenizer, examples)
    check_examples(taught, loaded.model)
    model = adapted(loaded, recipe)
    if recipe.precision == "bfloat16":
        _multiply_in_bfloat16(model)
    regularizer = regularizer if regularizer and regularizer.active else Regularizer()
    # A fresh adapter is not in evaluation mode.
    penalty = regularizer.encoded(loaded).start(model.eval(), taught, recipe)
    losses, seen = _train(model, taught, recipe, out, label, penalty)
    model.eval()
    figures = penalty.finish(model)
    _save(model, loaded, base, out)
    if penalty.history:
        pd.DataFrame(penalty.history).to_csv(out / HISTORY, index_label="step")
    trainable, total = trainable_share(model)
    edge = max(1, recipe.steps // 20)
    return {
        "first_loss": float(np.mean(losses[:edge])),
        "last_loss": float(np.mean(losses[-edge:])),
        "steps": len(losses),
        "tokens": seen,
        "trainable": trainable,
        "total": total,
        **figures,
    }


def _train(
    model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe, out: Path, label: str,
    penalty: Penalty,
) -> tuple[list[float], int]:
    """Run all steps; returns the loss of each, and the number of real tokens seen."""
    # Slow to import, and most processes only say what is to be trained.
    from lib.training.trainer import AnswerTrainer, training_arguments

    lengths = [len(example) for example in examples]
    batches = batch_plan(lengths, recipe.batch_size, recipe.steps, recipe.seed)
    with track(label, recipe.steps) as progress:
        arguments = training_arguments(recipe, out)
        trainer = AnswerTrainer(model, arguments, examples, batches, progress, penalty)
        trainer.train()
    return trainer.losses(), sum(lengths[i] for batch in batches for i in batch)


def _multiply_in_bfloat16(model: PreTrainedModel) -> None:
    """Matrix products in bfloat16 whenever the model is asked, before and after training too."""
    # Trainer's own switch would leave out what a regulariser asks before the first step.
    model.forward = torch.autocast(model.device.type, torch.bfloat16)(model.forward)
    if model.device.type == "cpu":
        # torch's fused kernel looks at the processor, not at ATEN_CPU_CAPABILITY, and fails there.
        model.forward = sdpa_kernel(SDPBackend.MATH)(model.forward)


def _save(model: PreTrainedModel, loaded: LoadedModel, base: Path, out: Path) -> None:
    if model is loaded.model:
        model.save_pretrained(out)
        loaded.tokenizer.save_pretrained(out)
        return
    # Otherwise peft would ask the model hub about the base's vocabulary.
    model.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # generated, and names this machine's paths
    config = json.loads((out / ADAPTER_CONFIG).read_text())
    config["base_model_name_or_path"] = Path(os.path.relpath(base, out)).as_posix()
    if not isinstance(config["target_modules"], str):
        config["target_modules"] = sorted(config["target_modules"])  # a set has no order
    (out / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """One thread and fresh random states inside; what was there before, afterwards."""
    before = random.getstate(), np.random.get_state(), torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        gc.freeze()  # looking through all imported code takes longer than a short training
        try:
            yield
        finally:
            gc.collect()  # trainer and callbacks hold each other, and the model in GPU memory
            gc.unfreeze()
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_num_threads(before[2])
