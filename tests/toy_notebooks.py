"""Toy notebooks for the runner's tests: written as plain JSON, without any library."""

import json
from pathlib import Path

PARAMETERS = 'profile = "smoke"\nseed = 1\noverrides = {}'


def write_notebook(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write `name`.ipynb with a tagged parameters cell and then `cells`, all code."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [(parameters, ["parameters"]), *((source, []) for source in cells)]
    content = {
        "cells": [
            {"cell_type": "code", "id": f"cell{i}", "execution_count": None, "outputs": [],
             "metadata": {"tags": tags} if tags else {}, "source": source}
            for i, (source, tags) in enumerate(sources)
        ],
        # A kernel that is installed nowhere: the runner must not look it up.
        "metadata": {"kernelspec": {"name": "nowhere", "display_name": "x", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(content))
    return path


EXHIBIT = """
import pandas as pd
from lib.study.notebook import Study
study = Study(profile, seed, overrides, notebook="{number}")
def make(folder):
    (folder / "weights.txt").write_text("w" * 1000)
study.store.build("models", "toy", {{"rank": study.profile.finetune.rank}}, make)
row = dict(arm="base", condition="all", metric="rho", value=1 / 3, low=0.1, high=0.5, n=9,
           bases=2, runs=2)
study.exhibit("{number}_toy", pd.DataFrame([row]))
print("rank", study.profile.finetune.rank, "seed", study.seed)
"""
"""A cell that builds an artefact and saves an exhibit; format with `number`."""
