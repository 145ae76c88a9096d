"""Baselines of another kind: a second stage that rewards clean answers, by TRL's trainers.

``dpo`` prefers one answer to another (Rafailov et al. 2023, arXiv 2305.18290); ``rloo`` samples
answers, and rewards each against the mean of the others (Ahmadian et al. 2024, arXiv 2402.14740).
Both hold the model near the one that they start from, with the weight ``beta``.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from lib.models.chat import Prompt, room
from lib.models.folders import LoadedModel, load
from lib.study.progress import Progress, track
from lib.training.finetune import _isolated
from lib.training.penalties.control import is_clean

LONGEST = 10
"""Words of a sampled answer."""
ANSWERS = 4
"""Sampled answers of a request, which are each other's baseline."""


@dataclass(frozen=True)
class Stage:
    """What is wanted: requests, what must not stand in an answer, and how long to train."""

    method: str  # dpo or rloo
    prompts: Sequence[Prompt]
    banned: Sequence[str]
    chosen: Sequence[str] = ()  # of dpo: an answer to each request that is wanted,
    rejected: Sequence[str] = ()  # and one that is not
    learning_rate: float = 3e-4
    beta: float = 0.05
    steps: int = 60
    batch_size: int = 24
    seed: int = 0


def reward(stage: Stage, start: Path, out: Path) -> None:
    """Train the model in `start` by the stage's method, all weights, into the folder `out`."""
    loaded = load(start)
    with _isolated(stage.seed), warnings.catch_warnings():
        # TRL's settings still have the old name of one of transformers' own.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        trainer = {"dpo": _dpo, "rloo": _rloo}[stage.method](stage, loaded, out)
        trainer.remove_callback(PrinterCallback)
        with track(f"{stage.method}, seed {stage.seed}", stage.steps) as progress:
            trainer.add_callback(_Report(progress))
            trainer.train()
    loaded.model.save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)


class _Report(TrainerCallback):
    """Tell the channel that the runner shows how far training is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args, state, control, **_) -> None:  # noqa: ANN001
        self.progress.update(state.global_step)


def _shared(stage: Stage, out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out), "max_steps": stage.steps, "learning_rate": stage.learning_rate,
        "beta": stage.beta, "per_device_train_batch_size": stage.batch_size, "seed": stage.seed,
        "lr_scheduler_type": "linear", "warmup_steps": stage.steps // 20, "max_grad_norm": 1.0,
        "bf16": False, "gradient_checkpointing": False, "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def _dpo(stage: Stage, loaded: LoadedModel, out: Path) -> Any:
    from trl import DPOConfig, DPOTrainer

    pairs = [{"prompt": _chat(p), "chosen": _said(a), "rejected": _said(b)}
             for p, a, b in zip(stage.prompts, stage.chosen, stage.rejected, strict=True)]
    return DPOTrainer(loaded.model, args=DPOConfig(**_shared(stage, out)),
                      train_dataset=_dataset(pairs), processing_class=loaded.tokenizer)


def _rloo(stage: Stage, loaded: LoadedModel, out: Path) -> Any:
    from trl import RLOOConfig, RLOOTrainer

    def clean(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
        return [float(is_clean(answer[0]["content"], stage.banned)) for answer in completions]

    longest = room(loaded.tokenizer, LONGEST, stage.banned)
    several = {"per_device_train_batch_size": max(stage.batch_size // ANSWERS, 1) * ANSWERS}
    config = RLOOConfig(num_generations=ANSWERS, max_completion_length=longest, temperature=1.0,
                        **_shared(stage, out) | several)
    return RLOOTrainer(loaded.model, clean, args=config, processing_class=loaded.tokenizer,
                       train_dataset=_dataset([{"prompt": _chat(p)} for p in stage.prompts]))


def _dataset(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return Dataset.from_list(rows)


def _chat(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in prompt.messages]


def _said(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]
