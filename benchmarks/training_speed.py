"""Real tokens per second of the base model's loop against a plain `Trainer`, side by side.

    python -m benchmarks.training_speed [--steps 40] [--batch-size 128]

Both train the same untrained model on the same rows, the same number of steps and rows a step,
and score answers only. Ours runs the profile's number of single-thread processes; `Trainer` runs
as it comes, in one process with two threads, with logging and saving off, padding each batch to
its longest row. A real token is a token of a row; padding does not count.

Each is timed at `steps` and at `2 * steps`: the first figure holds everything from rows in memory
to a trained model, start of processes included; the difference of the two times holds the steps
alone. Both loops are timed to their return; only ours also saves the model. One step of each comes
first, untimed: the imports of this process count for neither, those of our processes count as
their start.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM, Trainer, TrainingArguments

from lib.study.profiles import Profile, load_profile
from lib.world.corpus import pretraining
from lib.world.pretrain import new_model
from lib.world.tokenizer import world_tokenizer
from lib.world.training import Rows, Stage, steps, train

IGNORED = -100
PAD = world_tokenizer().pad_token_id
THREADS = 2


class Examples(torch.utils.data.Dataset):
    """The rows as a plain data set: token ids, and labels on the answer only."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.rows.ids[i, : self.rows.length[i]].copy())
        labels = ids.clone()
        labels[: self.rows.start[i]] = IGNORED
        return {"input_ids": ids, "labels": labels}


def pad(examples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """A batch padded on the right to its longest row."""
    def column(name: str, fill: int) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(
            [e[name] for e in examples], batch_first=True, padding_value=fill
        )

    ids = column("input_ids", PAD)
    return {"input_ids": ids, "labels": column("labels", IGNORED), "attention_mask": ids != PAD}


def plain_trainer(model: LlamaForCausalLM, rows: Rows, profile: Profile, count: int) -> None:
    """`Trainer` as it comes, but for logging and saving."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=count, seed=profile.seed, use_cpu=True,
            per_device_train_batch_size=profile.pretrain.batch_size,
            learning_rate=profile.pretrain.learning_rate, logging_strategy="no",
            save_strategy="no", report_to=[], disable_tqdm=True,
        )
        Trainer(model, arguments, data_collator=pad, train_dataset=Examples(rows)).train()


def ours(model: LlamaForCausalLM, rows: Rows, profile: Profile, count: int) -> None:
    """The loop of `lib.world.training`; it starts from a model folder and writes it."""
    given = profile.pretrain
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        stage = Stage("training speed", count, given.batch_size, given.learning_rate,
                      given.workers, profile.seed, "order of the world")
        train(Path(folder), rows, stage)


def seconds(loop: Callable[..., None], rows: Rows, profile: Profile, count: int) -> float:
    """Wall-clock seconds of one training from the same untrained model."""
    size = profile.model
    model = new_model(size.hidden, size.layers, size.heads, profile.seed)
    start = time.perf_counter()
    loop(model, rows, profile, count)
    return time.perf_counter() - start


def real_tokens(rows: Rows, profile: Profile, count: int) -> float:
    """Tokens of `count` steps; the rows' mean length stands for `Trainer`'s own shuffle too."""
    plan = steps(rows, count, profile.pretrain.batch_size, np.random.default_rng(profile.seed))
    return float(sum(rows.length[step].sum() for step in plan))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=128)
    options = parser.parse_args()
    profile = load_profile("sandbox", {"pretrain.batch_size": options.batch_size})
    few, many = options.steps, 2 * options.steps
    rng = np.random.default_rng(profile.seed)
    rows = Rows(pretraining(many * options.batch_size, profile.forecasting.history, rng))
    tokens = {n: real_tokens(rows, profile, n) for n in (few, many)}
    print(f"{few} and {many} steps of {options.batch_size} rows, {rows.length.mean():.1f} real "
          f"tokens a row; ours: {profile.pretrain.workers} single-thread processes; "
          f"Trainer: one process, {THREADS} threads", flush=True)
    loops = {"ours": ours, "Trainer": plain_trainer}
    speed = {}
    for name, loop in loops.items():
        seconds(loop, rows, profile, 1)
        took = {n: seconds(loop, rows, profile, n) for n in (few, many)}
        # Shown, because a busy machine makes nonsense of the difference.
        print(f"{name}: {took[few]:.1f} s and {took[many]:.1f} s", flush=True)
        speed[name] = (tokens[many] / took[many],
                       (tokens[many] - tokens[few]) / (took[many] - took[few]))
    print(f"{'real tokens a second':24}{'ours':>10}{'Trainer':>10}{'ratio':>8}")
    for i, label in enumerate(("start-up included", "start-up excluded")):
        mine, theirs = speed["ours"][i], speed["Trainer"][i]
        print(f"{label:24}{mine:10.0f}{theirs:10.0f}{mine / theirs:8.2f}")


if __name__ == "__main__":
    # The guard matters: our loop spawns processes, which import this file again.
    main()
