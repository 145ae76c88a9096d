"""A ``transformers.Trainer`` stripped to what a short training run on short sequences needs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from lib.models.chat import Tokens
from lib.study.progress import Progress
from lib.training.batching import IGNORED, collate, split
from lib.training.objective import Penalty
from lib.training.recipe import Recipe


def training_arguments(recipe: Recipe, out: Path) -> TrainingArguments:
    """The recipe in ``Trainer``'s terms; no evaluation, saved state, log or progress bar."""
    return TrainingArguments(
        output_dir=str(out),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        activation_checkpointing=recipe.checkpointing,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.steps // 20,
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


class AnswerTrainer(Trainer):
    """The penalty's objective on answer tokens, in one pass over given batches of positions."""

    loss_is_scaled_for_ga = True  # `compute_loss` divides by the answer tokens of the whole step

    def __init__(
        self, model: PreTrainedModel, args: TrainingArguments, examples: Sequence[Tokens],
        batches: Sequence[list[int]], progress: Progress, penalty: Penalty,
    ) -> None:
        super().__init__(model, args, collate, examples, callbacks=[_Report(self, progress)])
        self.remove_callback(PrinterCallback)
        self.parts = split(batches, args.gradient_accumulation_steps)
        self.penalty = penalty
        self.step_losses: list[torch.Tensor] = []

    def get_train_dataloader(self) -> DataLoader:
        """Batches in the planned order, each with its examples' positions as ``rows``."""
        examples = self.train_dataset

        def batch(rows: list[int]) -> dict[str, torch.Tensor]:
            return {"rows": torch.tensor(rows), **collate([examples[i] for i in rows])}

        return DataLoader(range(len(examples)), batch_sampler=self.parts, collate_fn=batch)

    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | None = None,
        **_: object,
    ) -> torch.Tensor:
        """Objective by answer token of the whole step; its first part also carries the penalty."""
        tokens = num_items_in_batch
        if tokens is None:
            tokens = (inputs["labels"] != IGNORED).sum()
        objective, cross_entropy = self.penalty.answers(model, inputs)
        loss, share = objective / tokens, (cross_entropy / tokens).detach()
        if self.state.global_step < len(self.step_losses):
            self.step_losses[-1] += share
            return loss
        self.step_losses.append(share)
        extra = self.penalty.step(model)
        return loss if extra is None else loss + extra

    def floating_point_ops(self, inputs: dict[str, torch.Tensor]) -> int:
        """None: nobody reads the count, and it walks through all parameters in each step."""
        return 0

    def losses(self) -> list[float]:
        """Cross-entropy of each step so far, in nats an answer token, penalties left out."""
        return [loss.item() for loss in self.step_losses]


class _Report(TrainerCallback):
    """Tell the channel that the runner shows how far training is."""

    def __init__(self, trainer: AnswerTrainer, progress: Progress) -> None:
        self.trainer, self.progress = trainer, progress

    def on_step_end(self, args, state, control, **_) -> None:  # noqa: ANN001
        self.progress.update(state.global_step, loss=self.trainer.step_losses[-1].item())
