"""Items per second of our scoring against lm-evaluation-harness, side by side on one thread.

    python -m benchmarks.scoring_speed MODEL_FOLDER [--items 240] [--rounds 3] [--batch-sizes 8 64]

Both score the same items of CrowS-Pairs, Winogender and BBQ with the same loaded model, and must
agree, or the times mean nothing: the largest difference is printed, in nats. Ours starts from the
benchmark's table and ends with an item frame; the harness starts from rendered requests and ends
with their log-likelihoods, so that its reading, rendering and metrics are not counted.

Times are processor time of this process, one thread, the quickest of some rounds in which all
take turns, after one round to warm up. Of the harness's batch sizes the quickest counts. The
benchmarks' files come from ``DEBIAS_DATA_MIRROR`` or are downloaded (see data/README.md).
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.measures.benchmarks import bbq, coreference, crows_pairs, winogender
from lib.models.folders import LoadedModel, load

MISSING = ("lm-evaluation-harness is not installed, and it is the other half of this comparison: "
           "python -m pip install lm-eval (into an environment beside the study's), then run again")
Request = tuple[str, str]


@dataclass(frozen=True)
class Benchmark:
    """Items; our log-likelihoods of them; the harness's requests, one row an item."""

    items: pd.DataFrame
    ours: Callable[[LoadedModel, pd.DataFrame], np.ndarray]
    requests: list[list[Request]]
    theirs: Callable[[np.ndarray], np.ndarray] = lambda logprobs: logprobs


def some(items: pd.DataFrame, count: int) -> pd.DataFrame:
    """``count`` items spread over the table."""
    return items.iloc[np.unique(np.linspace(0, len(items) - 1, count).astype(int))]


def pairs(count: int) -> Benchmark:
    """CrowS-Pairs: both sentences of each gender pair, whole."""
    items = some(crows_pairs.pairs("gender"), count)
    requests = [[("", text) for text in row] for row in items[crows_pairs.PAIR].to_numpy()]
    return Benchmark(
        items, lambda model, rows: crows_pairs.score(model, rows)[crows_pairs.PAIR].to_numpy(),
        requests,
    )


def pronouns(count: int) -> Benchmark:
    """Winogender: two people after each prompt."""
    items = some(winogender.sentences(), count)
    columns = ["logprob_occupation", "logprob_participant"]
    requests = [
        [(coreference.question(row.sentence, row.pronoun), f" {who}")
         for who in (row.occupation, row.participant)] for row in items.itertuples()
    ]
    return Benchmark(
        items, lambda model, rows: winogender.score(model, rows)[columns].to_numpy(), requests
    )


def answers(count: int) -> Benchmark:
    """BBQ: two people and ten ways of not knowing, of which the likeliest counts."""
    items = some(bbq.gender_identity(), count)
    unknown = items["unknown"].to_numpy()[:, None]
    people = bbq.people(items)
    named = np.take_along_axis(items[["ans0", "ans1", "ans2"]].to_numpy(), people, axis=1)
    requests = [
        [(bbq.question(row), f" {choice}")
         for choice in [*who, *bbq.UNKNOWN]]
        for row, who in zip(items.itertuples(), named, strict=True)
    ]

    def ours(model: LoadedModel, rows: pd.DataFrame) -> np.ndarray:
        found = bbq.score(model, rows)[["logprob0", "logprob1", "logprob2"]].to_numpy()
        return np.take_along_axis(found, np.hstack([people, unknown]), axis=1)

    return Benchmark(
        items, ours, requests,
        lambda found: np.hstack([found[:, :2], found[:, 2:].max(axis=1, keepdims=True)]),
    )


def harness(model: LoadedModel, size: int) -> Callable[[Benchmark], np.ndarray]:
    """Log-likelihoods as the harness computes them, in batches of ``size``."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    judge = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=size)

    def score(benchmark: Benchmark) -> np.ndarray:
        flat = [request for row in benchmark.requests for request in row]
        wanted = [Instance("loglikelihood", {}, request, i) for i, request in enumerate(flat)]
        found = [logprob for logprob, _ in judge.loglikelihood(wanted, disable_tqdm=True)]
        return benchmark.theirs(np.array(found).reshape(len(benchmark.items), -1))

    return score


def measure(
    benchmark: Benchmark, scorers: dict[str, Callable[[Benchmark], np.ndarray]], rounds: int
) -> tuple[dict[str, float], float]:
    """Seconds of each scorer at its quickest, and the largest difference from ours (nats)."""
    results = {name: score(benchmark) for name, score in scorers.items()}
    seconds = {name: float("inf") for name in scorers}
    for _ in range(rounds):
        for name, score in scorers.items():
            start = time.process_time()
            score(benchmark)
            seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds, max(float(np.abs(r - results["ours"]).max()) for r in results.values())


def report(model: LoadedModel, options: argparse.Namespace) -> None:
    """Print one line a benchmark, and one of all items together."""
    scorers = {"ours": lambda b: b.ours(model, b.items)}
    scorers |= {f"batch {size}": harness(model, size) for size in options.batch_sizes}
    makers = {"crows_pairs": pairs, "winogender": pronouns, "bbq": answers}
    total = np.zeros(2)
    print(f"{'items a second':16}{'items':>7}{'ours':>9}{'harness':>9}{'ratio':>7}"
          f"{'differ by':>12}  harness at its quickest", flush=True)
    for name, make in makers.items():
        benchmark = make(options.items)
        seconds, difference = measure(benchmark, scorers, options.rounds)
        mine = seconds.pop("ours")
        best = min(seconds, key=seconds.get)
        total += mine, seconds[best]
        count = len(benchmark.items)
        print(f"{name:16}{count:7d}{count / mine:9.1f}{count / seconds[best]:9.1f}"
              f"{seconds[best] / mine:7.2f}{difference:12.1e}  {best}", flush=True)
    print(f"{'all together':16}{'':25}{total[1] / total[0]:7.2f}  ({total[0]:.1f} s and "
          f"{total[1]:.1f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="model folder with safetensors")
    parser.add_argument("--items", type=int, default=240, help="items of each benchmark")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 64])
    options = parser.parse_args()
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        print(MISSING, file=sys.stderr)
        raise SystemExit(2) from None
    torch.set_num_threads(1)
    report(load(options.folder), options)


if __name__ == "__main__":
    main()
