"""The shipped bases: whether they fit the code, what they show, and how they are made anew."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.chapters.base import acceptance, made, quality_runs, shipped_runs
from lib.errors import require
from lib.study.disk import write_text
from lib.study.fingerprint import packages
from lib.study.machine import hardware
from lib.study.notebook import Study
from lib.study.paths import BASES
from lib.study.store import RECORD, Store
from lib.study.text import cell, table
from lib.world import judge
from lib.world.bases import MADE, STAGES, fits, read_curve, shipped, trained

HEADER = ["base", "fits the code", "targets met", "refusal margin", "borderline over-refusal",
          "seconds", "processor"]
CHECKED = ["metric", "condition", "target", "shipped bases", "trained here", "met"]
RETRAIN = "side-effects bases --retrain"
"""What to do where shipped bases do not fit."""


def listing(numbers: Sequence[int]) -> str:
    """One row a shipped base; all of them where no number is given."""
    study = Study("sandbox", notebook="00")
    rows = [[cell(value) for value in _row(study, n)] for n in numbers or shipped_numbers()]
    return table(HEADER, rows)


def shipped_numbers() -> list[int]:
    """Numbers of the bases in the repository, in order."""
    return sorted(int(path.parent.name.removeprefix("base_")) for path in BASES.glob(f"*/{MADE}"))


def retrain(numbers: Sequence[int], study: Study | None = None) -> None:
    """Train bases and ship each when it is done; one finished before on this machine is kept."""
    study = study or Study("sandbox", notebook="00")
    for number in numbers or shipped_numbers():
        folders = trained(study, number)
        about = _about(study, number, folders)
        draft = shipped(number).with_name(f".{shipped(number).name}")
        shutil.rmtree(draft, ignore_errors=True)
        for stage, folder in folders.items():
            shutil.copytree(folder, draft / stage)
        write_text(draft / MADE, json.dumps(about, indent=1) + "\n")
        shutil.rmtree(shipped(number), ignore_errors=True)
        draft.rename(shipped(number))


def retrain_judge() -> None:
    """Train the judge (`lib.world.judge`) on this machine and ship it."""
    study = Study("sandbox", notebook="07")
    made_here = Store(study.run_dir / "bases").build(
        **judge.artefact(study) | {"shipped": study.run_dir / "none"})
    shutil.rmtree(judge.SHIPPED, ignore_errors=True)
    shutil.copytree(made_here, judge.SHIPPED)


def check(number: int) -> tuple[str, bool]:
    """A base trained here beside the shipped ones: a row a target, and whether all are met."""
    study = Study("sandbox", notebook="00")
    here = acceptance(quality_runs(study, {number: trained(study, number)[STAGES[1]]}))
    others = acceptance(shipped_runs(shipped_numbers()))
    rows = [[target.metric, target.condition, f"{target.lowest:.3g} to {target.highest:.3g}",
             f"{all.least:.3f} to {all.greatest:.3f}", f"{target.least:.3f}",
             "yes" if target.met else "no"]
            for target, all in zip(here.itertuples(), others.itertuples(), strict=True)]
    return table(CHECKED, [[cell(value) for value in row] for row in rows]), bool(here["met"].all())


def _row(study: Study, number: int) -> list[Any]:
    require((shipped(number) / MADE).is_file(), f"a base among {shipped_numbers()}", number,
            f"train it: {RETRAIN} {number}")
    about = made(number)
    checks = acceptance(shipped_runs([number])).set_index(["metric", "condition"])
    margin, borderline = (checks.loc[name, "least"] for name in (
        ("refusal_margin", "unseen_both"), ("over_refusal", "borderline")))
    return [number, "yes" if fits(study, number) else f"no: {RETRAIN} {number}",
            f"{checks['met'].sum()} of {len(checks)}", f"{margin:.1f}", f"{borderline:.3f}",
            round(sum(about["seconds"].values())), about["processor"]]


def _about(study: Study, number: int, folders: dict[str, Path]) -> dict[str, Any]:
    """Versions, processor, seconds and curve of both stages, and what the base shows."""
    records = {stage: json.loads((folder / RECORD).read_text(encoding="utf-8"))
               for stage, folder in folders.items()}
    shown = quality_runs(study, {number: folders[STAGES[1]]})
    return {
        "base": number, "processor": hardware()["cpu"], "versions": packages(),
        "keys": {stage: record["key"] for stage, record in records.items()},
        "seconds": {stage: record["seconds"] for stage, record in records.items()},
        "curve": {stage: read_curve(folder) for stage, folder in folders.items()},
        "quality": json.loads(shown.to_json(orient="records", double_precision=6)),
    }
