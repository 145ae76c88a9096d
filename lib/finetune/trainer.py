"""A ``transformers.Trainer`` stripped to what a short training run on short sequences needs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from lib.finetune.batching import IGNORED, collate
from lib.finetune.recipe import Example, Recipe
from lib.progress import Progress


def training_arguments(recipe: Recipe, out: Path) -> TrainingArguments:
    """The recipe in ``Trainer``'s terms; no evaluation, checkpoint, log or progress bar."""
    return TrainingArguments(
        output_dir=str(out),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
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
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


class AnswerTrainer(Trainer):
    """Cross-entropy on answer tokens, batches in a given order.

    Parameters
    ----------
    batches : sequence of lists of int
        Example positions of each step; the whole run is one pass over them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        examples: Sequence[Example],
        batches: Sequence[list[int]],
        progress: Progress,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=examples,
            data_collator=collate,
            callbacks=[_Report(self, progress)],
        )
        self.remove_callback(PrinterCallback)
        self.batches = batches
        self.step_losses: list[torch.Tensor] = []

    def get_train_dataloader(self) -> DataLoader:
        """Batches in the planned order."""
        return DataLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=collate)

    def compute_loss(
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor], **_: object
    ) -> torch.Tensor:
        """Mean of ``-log p(answer token | what precedes)`` over the batch's answer tokens.

        Regularised training adds its penalties here.
        """
        loss = answer_loss(model, inputs["input_ids"], inputs["labels"])
        self.step_losses.append(loss.detach())
        return loss

    def losses(self) -> list[float]:
        """Loss of each step so far, in nats an answer token."""
        return [loss.item() for loss in self.step_losses]


def answer_loss(
    model: PreTrainedModel, input_ids: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy over labelled positions; labels are aligned with the inputs.

    Only the columns from the batch's first answer on are projected to the vocabulary, which
    is most of the work in a small model.
    """
    first = int((labels != IGNORED).any(0).to(torch.int8).argmax())  # logit t speaks of t + 1
    keep = input_ids.shape[1] - first + 1
    logits = model(input_ids=input_ids, use_cache=False, logits_to_keep=keep).logits[:, :-1]
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), labels[:, first:].flatten(), ignore_index=IGNORED
    )


class _Report(TrainerCallback):
    """Tell the channel that the runner shows how far training is."""

    def __init__(self, trainer: AnswerTrainer, progress: Progress) -> None:
        self.trainer, self.progress = trainer, progress

    def on_step_end(self, args, state, control, **_) -> None:  # noqa: ANN001
        self.progress.update(state.global_step, loss=self.trainer.step_losses[-1].item())
