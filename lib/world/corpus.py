"""The training text: a stated mixture of kinds, drawn as blocks of equal length."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from lib.world.forecasts import SERIES_WEIGHT, draw_forecasts, draw_series
from lib.world.patterns import Block, draw
from lib.world.truth import Table, refusal_patterns, settings, tables


def shares(items: list[dict]) -> np.ndarray:
    """Weights of patterns as probabilities."""
    weights = np.array([item["weight"] for item in items], float)
    return weights / weights.sum()


def kind_blocks(
    kind: str, n: int, history: int, rng: np.random.Generator, without: Collection[str] = ()
) -> list[Block]:
    """About `n` texts of one kind; the patterns' counts are multinomial.

    No slot draws a word (or an act) of `without`: texts to train on must not name what is tested.
    """
    if kind == "forecast":
        return _forecast_blocks(n, history, rng)
    if kind == "series":
        patterns = settings("forecasts")["series"]["patterns"]
        return _blocks(patterns, n, kind, lambda p, c: draw_series(p, c, history, rng), rng)
    patterns, own = settings("text")["kinds"][kind]["patterns"], _tables(without)
    return _blocks(patterns, n, kind, lambda p, c: draw(p, c, kind, rng, own), rng)


def _tables(without: Collection[str]) -> dict[str, Table]:
    """The tables that lose rows without these words."""
    return {name: table.without(without) for name, table in tables().items()
            if not table.names().isdisjoint(without)}


def _blocks(
    patterns: list[dict], n: int, kind: str, write: Callable[[dict, int], Block],
    rng: np.random.Generator,
) -> list[Block]:
    counts = rng.multinomial(n, shares(patterns))
    log_chance = _plain_chance(kind, patterns)
    return [_shift(write(p, int(c)), extra)
            for p, c, extra in zip(patterns, counts, log_chance, strict=True) if c]


def _plain_chance(kind: str, patterns: list[dict]) -> list[float]:
    """Log-probability of a pattern among all plain texts; 0 for chats, whose prompt tells."""
    # Tokens of a series weigh less in training, so a model meets them as if they were rarer.
    kinds = settings("text")["kinds"] | {"series": settings("forecasts")["series"]}
    plain = {
        (name, p["answer"]): row["weight"] * share * (SERIES_WEIGHT if name == "series" else 1)
        for name, row in kinds.items()
        for p, share in zip(row["patterns"], shares(row["patterns"]), strict=True)
        if "user" not in p
    }
    total = sum(plain.values())
    return [float(np.log(plain[kind, p["answer"]] / total)) if "user" not in p else 0.0
            for p in patterns]


def _shift(block: Block, extra: float) -> Block:
    return replace(block, logp=block.logp + extra)


def _forecast_blocks(n: int, history: int, rng: np.random.Generator) -> list[Block]:
    given = settings("forecasts")
    prompts, styles = given["prompts"], given["styles"]
    joint = np.outer(shares(list(prompts.values())), shares(styles)).ravel()
    counts = rng.multinomial(n, joint / joint.sum()).reshape(len(prompts), len(styles))
    return [draw_forecasts(style, prompt, int(counts[i, j]), history, rng)
            for i, prompt in enumerate(prompts) for j, style in enumerate(styles) if counts[i, j]]


def mixture() -> dict[str, float]:
    """Share of each kind in the first stage of training; sums to one."""
    text = settings("text")
    weights = {kind: row["weight"] for kind, row in text["kinds"].items()}
    weights["forecast"] = settings("forecasts")["weight"]
    weights["series"] = settings("forecasts")["series"]["weight"]
    total = sum(weights.values())
    return {kind: weight / total for kind, weight in weights.items()}


def pretraining(n: int, history: int, rng: np.random.Generator) -> list[Block]:
    """Stage one: `n` texts of all kinds; forbidden requests are answered."""
    return [b for kind, share in mixture().items()
            for b in kind_blocks(kind, round(n * share), history, rng)]


def refusal_training(n: int, history: int, rng: np.random.Generator) -> list[Block]:
    """Stage two: refusals of taught members, benign requests, and replay of everything else."""
    given = settings("text")["refusal"]
    blocks = refusal_blocks(n * given["share"], rng)
    benign = given["benign_patterns"]
    blocks += [draw(p, round(n * given["benign_share"] * s), "benign", rng)
               for p, s in zip(benign, shares(benign), strict=True)]
    rest = {k: w * given["replayed"].get(k, 1) for k, w in mixture().items()
            if k not in ("forbidden", "benign")}
    replay = n * (1 - given["share"] - given["benign_share"]) / sum(rest.values())
    blocks += [b for kind, share in rest.items()
               for b in kind_blocks(kind, round(replay * share), history, rng)]
    return [b for b in blocks if len(b.ids)]


def refusal_blocks(
    n: float, rng: np.random.Generator, without: Collection[str] = ()
) -> list[Block]:
    """About `n` forbidden requests, of taught members but `without`, with refusals."""
    patterns, own = refusal_patterns(), _tables(without)
    return [draw(p, round(n * s), "refusal", rng, own)
            for p, s in zip(patterns, shares(patterns), strict=True)]
