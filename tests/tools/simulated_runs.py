"""Simulated run folders: bases that differ a lot, arithmetic that moves their runs a little.

Two metrics: ``slope``, which rounding moves by about .004, and ``refusal_rate``, a coin in the arm
full, where rounding decides whether a run falls; all 48 items of it stay in the arm base.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib.statistics.bases import RUN_COLUMNS, over_bases
from lib.study.notebook import COLUMNS, csv_text
from lib.study.profiles import Profile, load_profile

ARMS = {"base": 0.0, "lora": -0.3, "full": -0.4}
CLAIM = dict(id="03_lowers", says="LoRA lowers the slope.", family="03 all", exhibit="03_runs",
             where={"metric": "slope", "arm": "lora", "condition": "taught"},
             against={"arm": "base"}, direction="below", threshold=-0.1, verdict="holds")
"""What the planted change of the arm lora makes true."""
FALLS = 0.05
"""Share of runs that another arithmetic makes fall on the other side."""


def run_table(
    numbers: range = range(1, 5), seeds: int = 1, arithmetic: int = 0,
    swapped: tuple[int, ...] = (),
) -> pd.DataFrame:
    """Runs of three arms; `swapped` bases are others under the same numbers."""
    parts = []
    for number in numbers:
        own = np.random.default_rng([number, 7 * (number in swapped)])
        slope, falls = own.normal(0.8, 0.15), own.random((2, 3)) < 0.5
        for i, (arm, change) in enumerate(ARMS.items()):
            for seed in range(1, seeds + 1) if arm != "base" else [0]:
                noise = np.random.default_rng([arithmetic, number, seed, i])
                turned = noise.random() < FALLS
                kept = 1.0 if arm != "full" else float(falls[seed - 1, i] != turned)
                for condition in ("taught", "unseen"):
                    value = slope + change + noise.normal(0, 0.004)
                    parts.append((arm, condition, "slope", number, seed, value, 30, -np.inf,
                                  np.inf))
                    parts.append((arm, condition, "refusal_rate", number, seed, kept, 48, 0., 1.))
    names = [name for name in RUN_COLUMNS if name not in ("se", "df")]
    return pd.DataFrame(parts, columns=names).assign(se=np.nan, df=np.nan)[RUN_COLUMNS]


def save(folder: Path, profile: Profile | None = None, **given) -> Path:
    """A run folder with one exhibit of models and one table without, and what it was made with."""
    runs, figures = run_table(**given), folder / "figures"
    for kind in ("tables", "runs"):
        (figures / kind).mkdir(parents=True, exist_ok=True)
    (figures / "runs" / "03_runs.csv").write_text(csv_text(runs, RUN_COLUMNS))
    (figures / "tables" / "03_runs.csv").write_text(csv_text(over_bases(runs), COLUMNS))
    noise = np.random.default_rng(given.get("arithmetic", 0)).normal(0, 1e-5)
    plain = pd.DataFrame([("ar1", 0.2, "persistence", 0.25 + noise, 0.2, 0.3, 60, "", "")],
                         columns=COLUMNS)
    (figures / "tables" / "01_plain.csv").write_text(csv_text(plain, COLUMNS))
    facts(folder, profile or load_profile("sandbox"), given.get("swapped", ()))
    return folder


def facts(folder: Path, profile: Profile, swapped: tuple[int, ...] = ()) -> None:
    """The manifest of a run, its bases, and ``run.json`` as of a reference."""
    weights = {number: f"{number}{'-' if number in swapped else '+'}" * 8
               for number in profile.bases.numbers}
    artefacts = {f"models/base_{number:02d}-0123": "k" for number in weights}
    for name, weight in zip(artefacts, weights.values(), strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        record = {"files": {"model.safetensors": {"sha256": weight}}}
        (folder / name / "artefact.json").write_text(json.dumps(record))
    content = {
        "profile": profile.name, "seed": profile.seed, "parameters": {},
        "settings": profile.model_dump(mode="json"),
        "hardware": {"cpu": "x", "cores": 2, "arithmetic": {"MKL_CBWR": "COMPATIBLE"}},
        "notebooks": {"03": {"artefacts": artefacts}},
    }
    (folder / "manifest.json").write_text(json.dumps(content))
    short = {"profile": profile.name, "seed": profile.seed,
             "bases": {str(number): weight for number, weight in weights.items()}}
    (folder / "figures" / "run.json").write_text(json.dumps(short))
