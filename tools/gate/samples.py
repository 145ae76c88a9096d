"""``records.jsonl``: every paired item's scores, one a line, for other tools; never its text.

A line: ``doc_id`` (place among the items of its task), ``doc_hash`` (SHA-256 of
``["benchmark", "item"]`` as JSON, which pairs lines and finds an item of one's own again),
``task`` (axis/benchmark), ``metric``, ``cluster`` (number of the group that the item belongs to;
items of a group resemble each other), ``base`` (score of the base) and ``tuned`` (a score a
training seed, in the order of ``gate.json``). Names are those of lm-evaluation-harness where it has
them. A score that an item does not have is null.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from tools.gate.record import finite
from tools.gate.result import Result


def samples(result: Result) -> str:
    """The file's text."""
    return "".join(json.dumps(line) + "\n" for line in _lines(result.items))


def doc_hash(benchmark: str, item: str) -> str:
    """An item without its text: some items are requests."""
    return hashlib.sha256(json.dumps([benchmark, item], ensure_ascii=False).encode()).hexdigest()


def _lines(items: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A dictionary an item and metric."""
    task = items["axis"] + "/" + items["benchmark"]
    seeds = [name for name in items if str(name).startswith("tuned_")]
    # Clusters may be words of requests, too, and are numbered.
    cluster = pd.factorize(items["axis"] + "\t" + items["cluster"].astype(str))[0]
    place = items.groupby(task, sort=False)["item"].transform(lambda own: pd.factorize(own)[0])
    rows = zip(items.to_dict("records"), task, cluster, place, strict=True)
    for row, name, group, doc_id in rows:
        yield {"doc_id": int(doc_id), "doc_hash": doc_hash(row["benchmark"], row["item"]),
               "task": name, "metric": row["metric"], "cluster": int(group),
               "base": finite(row["base"]), "tuned": [finite(row[seed]) for seed in seeds]}
