"""Fine-tuning of a real model with LoRA: ours against plain `Trainer` with peft, side by side.

    python -m benchmarks.lora_speed MODEL_FOLDER [--steps 6] [--batch-size 12] [--rounds 2]

Both put LoRA of rank 8 on queries and values and learn the same rational forecasts, the same
number of steps and examples a step, scoring answers only, on one thread. `Trainer` runs as it
comes, with logging and saving off, padding each batch to its longest example. Times are processor
time from loaded weights to a trained model; ours also loads and saves it, `Trainer` is given it
loaded. One step of each comes first, untimed; of some rounds the quickest counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence

import torch
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments

from lib.chapters.correction import training_examples
from lib.models.chat import Example, tokenised
from lib.models.folders import load
from lib.study.notebook import Study
from lib.training.finetune import finetune
from lib.training.recipe import Recipe

IGNORED = -100
TARGETS = ("q_proj", "v_proj")


def plain_trainer(folder: str, examples: Sequence[Example], steps: int, batch: int) -> float:
    """Processor time of `Trainer` with a peft model."""
    loaded = load(folder)
    rows = [{"input_ids": [*t.prompt, *t.answer],
             "labels": [IGNORED] * len(t.prompt) + [*t.answer]}
            for t in tokenised(loaded.tokenizer, examples)]
    model = get_peft_model(loaded.model, LoraConfig(
        r=8, lora_alpha=16, target_modules=list(TARGETS), task_type="CAUSAL_LM"))

    def padded(some: list[dict]) -> dict[str, torch.Tensor]:
        def column(name: str, fill: int) -> torch.Tensor:
            return torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(row[name]) for row in some], batch_first=True, padding_value=fill)

        ids, labels = column("input_ids", 0), column("labels", IGNORED)
        lengths = torch.tensor([len(row["input_ids"]) for row in some])
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, max_steps=steps, per_device_train_batch_size=batch, use_cpu=True,
            learning_rate=1e-3, logging_strategy="no", save_strategy="no", report_to=[],
            disable_tqdm=True)
        start = time.process_time()
        Trainer(model, arguments, data_collator=padded, train_dataset=rows).train()
    return time.process_time() - start


def ours(folder: str, examples: Sequence[Example], steps: int, batch: int) -> float:
    """Processor time of `lib.training.finetune.finetune`."""
    recipe = Recipe("lora", 8, 16, TARGETS, 1e-3, steps, batch)
    with tempfile.TemporaryDirectory() as out:
        start = time.process_time()
        finetune(folder, examples, recipe, out)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="model folder with safetensors")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = training_examples(Study("real").profile, 1)
    ways: dict[str, Callable[..., float]] = {"ours": ours, "Trainer": plain_trainer}
    took = dict.fromkeys(ways, float("inf"))
    for steps in [1] + [options.steps] * options.rounds:
        for name, way in ways.items():
            seconds = way(options.folder, examples, steps, options.batch_size)
            if steps == options.steps:
                took[name] = min(took[name], seconds)
    print(f"{options.steps} steps of {options.batch_size}: ours {took['ours']:.1f} s, Trainer "
          f"{took['Trainer']:.1f} s, ratio {took['Trainer'] / took['ours']:.2f}")


if __name__ == "__main__":
    main()
