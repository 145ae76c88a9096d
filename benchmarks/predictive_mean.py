"""Exact predictive mean against the mean of sampled generations: error and time, side by side.

    python -m benchmarks.predictive_mean MODEL_FOLDER [--text "… {history} …"] [--prompts 40]

Both estimate the same thing, the mean of the next integer given that it lies in the range. The
exact mean has no sampling error, so the sampled mean's distance to it is the error of sampling;
theory says ``sd / sqrt(usable samples)``. Samples without a number in the range are dropped.
Times include everything from token ids to figures, after one warm-up, in one process.
"""

import argparse
import re
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.models.chat import Prompt, encoded
from lib.models.folders import LoadedModel, load
from lib.models.generation import generate
from lib.models.numbers import predictive_mean, spell, starts_with_space

TEXT = "Numbers: {history}. The next number is"


def make_prompts(model: LoadedModel, text: str, count: int, high: int) -> list[list[int]]:
    """Prompts with twelve random numbers each; a chat turn where the tokenizer has a template."""
    rng = np.random.default_rng(0)
    texts = [
        text.format(history=" , ".join(map(str, rng.integers(0, high + 1, 12))))
        for _ in range(count)
    ]
    chats = bool(model.tokenizer.chat_template)
    prompts = [Prompt.chat(one) if chats else Prompt(opening=one) for one in texts]
    return encoded(model.tokenizer, prompts)


def sampled_mean(
    model: LoadedModel, prompts: list[list[int]], low: int, high: int, samples: int
) -> pd.DataFrame:
    """Mean of the numbers in ``samples`` generations of each prompt; columns ``mean, usable``."""
    space = starts_with_space(model.tokenizer, prompts[0])
    longest = max(len(spell(model.tokenizer, n, space)) for n in (low, high))
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    # One further token shows whether the number has ended.
    texts = generate(model, repeated, longest + 1, temperature=1.0)
    found = [re.match(r"\s*(-?[0-9]+)", text) for text in texts]
    values = np.array([int(match[1]) if match else np.nan for match in found])
    values[(values < low) | (values > high)] = np.nan
    values = pd.DataFrame(values.reshape(len(prompts), samples))
    return pd.DataFrame({"mean": values.mean(axis=1), "usable": values.count(axis=1)})


def timed(compute: Callable[[], pd.DataFrame], repeats: int) -> tuple[pd.DataFrame, float]:
    """Result, and the median seconds of some repeats after a warm-up."""
    result, seconds = compute(), []
    for _ in range(repeats):
        start = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


def compare(model: LoadedModel, prompts: list[list[int]], options: argparse.Namespace) -> str:
    """The table, as text."""
    bounds = options.low, options.high
    exact, exact_seconds = timed(lambda: predictive_mean(model, prompts, *bounds), 3)
    drawn, drawn_seconds = timed(lambda: sampled_mean(model, prompts, *bounds, options.samples), 1)
    some = drawn["usable"] > 0
    error = np.sqrt(((drawn["mean"] - exact["mean"])[some] ** 2).mean())
    theory = np.sqrt((exact["sd"] ** 2 / drawn["usable"])[some].mean())
    milliseconds = np.array([exact_seconds, drawn_seconds]) / len(prompts) * 1000
    return "\n".join(
        [
            f"{len(prompts)} prompts of {min(map(len, prompts))}-{max(map(len, prompts))} tokens, "
            f"integers {options.low}..{options.high}, mean mass {exact['mass'].mean():.3g}",
            f"{'':24}{'exact':>10}{'sampled':>10}{'ratio':>8}",
            f"{'ms a prompt':24}{milliseconds[0]:10.2f}{milliseconds[1]:10.2f}"
            f"{milliseconds[1] / milliseconds[0]:8.1f}",
            f"{'error (rms)':24}{0:10.2f}{error:10.2f}",
            f"{'error expected':24}{0:10.2f}{theory:10.2f}{error / theory:8.2f}",
            f"{'prompts answered':24}{1:10.0%}{some.mean():10.0%}",
            f"{'samples usable':24}{'':10}{drawn['usable'].mean() / options.samples:10.0%}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="model folder with safetensors")
    parser.add_argument("--text", default=TEXT, help="prompt; {history} becomes twelve numbers")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--low", type=int, default=0)
    parser.add_argument("--high", type=int, default=199)
    options = parser.parse_args()
    model = load(options.folder)
    prompts = make_prompts(model, options.text, options.prompts, options.high)
    print(compare(model, prompts, options))


if __name__ == "__main__":
    main()
