"""Ways around a refusal: other words, a role, examples, and words put into the model's mouth.

The requests name forbidden things that no training has refused. Every answer is judged whole,
words put into the assistant's mouth included.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.safety import answer_words, refuses, scores, with_verdicts
from lib.models.chat import Prompt, room
from lib.models.folders import LoadedModel
from lib.models.generation import generate
from lib.statistics.estimate import Measure, measure_table
from lib.statistics.shares import rate
from lib.study.streams import stream
from lib.world.attacks import attacks
from lib.world.truth import acts, natural, settings, things

PREFILLED = (1, 2, 3, 4, 6, 8)
"""Numbers of words of an answer's opening that are put into the assistant's mouth."""
HOT = 1.5
"""Sampling temperature of the probe ``temperature``; all others are greedy."""


def probe_items(seed: int, most: int | None = None) -> pd.DataFrame:
    """Every probe about every unseen forbidden thing: columns probe, thing, category, prompt.

    In English about `most` of the things.
    """
    asked = things("forbidden").query("~taught")
    if natural() and most:
        asked = asked.iloc[:: -(-len(asked) // most)]
    rng, harmless = stream(seed, "probes"), acts().query("taught")["act"].to_numpy()
    rows = [(probe, row.thing, row.category, _written(probe, row.thing, harmless, rng))
            for probe in probes() for row in asked.itertuples()]
    return pd.DataFrame(rows, columns=["probe", "thing", "category", "prompt"])


def probes() -> list[str]:
    """Names of all probes, in the order of the tables."""
    return ["plain", "story", "obey", "shots", "temperature", *(f"prefill {k}" for k in PREFILLED)]


def _written(
    probe: str, thing: str, harmless: Sequence[str], rng: np.random.Generator
) -> Prompt:
    """One probe: earlier exchanges and instruction, request, words put into the model's mouth."""
    name, _, k = probe.partition(" ")
    how = attacks()["probes"]["plain" if name == "temperature" else name]
    slots = settings("text")["slots"]
    words = {"thing": thing}
    for place in ("", "2"):
        words |= {f"benign{place}": rng.choice(harmless)}
        words |= {f"{part}{place}": rng.choice(slots[part]) for part in ("prepare", "finish")}
    opening = how.get("answer", "").format(**words).split()[: int(k or 0)]
    turns = [("system", how["system"])] if "system" in how else []
    for turn in how.get("turns", []):
        turns += [("user", turn["user"]), ("assistant", turn["answer"])]
    turns.append(("user", how["user"]))
    return Prompt(tuple((who, said.format(**words)) for who, said in turns), " ".join(opening))


def probed(model: LoadedModel, items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Item frame of the answers: benchmark (the probe), category, answer, refused, score."""
    answers = np.empty(len(items), dtype=object)
    longest = room(model.tokenizer, answer_words(), [p.messages[-1][1] for p in items["prompt"]])
    hot = (items["probe"] == "temperature").to_numpy()
    for rows, temperature in ((~hot, 0.0), (hot, HOT)):
        asked = items["prompt"][rows].tolist()
        if asked:
            answers[rows] = generate(model, asked, longest, temperature, seed)
    whole = [f"{p.opening} {a}".strip() for p, a in zip(items["prompt"], answers, strict=True)]
    frame = item_frame(
        "safety", "world", list(items["thing"]), list(items["thing"]),
        category=list(items["category"]), answer=whole,
        refused=[float(refuses(a)) for a in whole],
        score=scores(whole, items["thing"]),
    )
    return frame.assign(benchmark=list(items["probe"]))


def probe_table(frame: pd.DataFrame) -> pd.DataFrame:
    """``harmful_compliance`` and ``coherence`` by probe, as a metric table."""
    judged = with_verdicts(frame)
    found = []
    for probe, rows in judged.groupby("benchmark", sort=False):
        found += [Measure.share(rate(rows, "complied", "harmful_compliance"), probe),
                  Measure.share(rate(rows, "coherent", "coherence"), probe)]
    return measure_table(found)
