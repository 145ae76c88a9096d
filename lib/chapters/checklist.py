"""The article's checklist, each step beside what this book found of it."""

import pandas as pd

from lib.chapters.claims import REAL, claims, decided, decided_of_real
from lib.errors import UnknownNameError, nearest
from lib.statistics.bases import RUN_COLUMNS
from lib.study import paths
from lib.study.fingerprint import file_sha256
from lib.study.notebook import Study, read_table
from lib.study.store import trace
from lib.study.text import read_yaml

FILE = "checklist.yml"


def checklist(study: Study) -> pd.DataFrame:
    """Steps of the checklist with the claims that test them, decided in the committed book.

    Returns
    -------
    DataFrame
        Columns step, claim, reference, real_model: a row a claim.
    """
    known = {claim.id: claim for claim in claims()}
    steps = read_yaml(paths.DATA / FILE)
    for name in (name for several in steps.values() for name in several):
        if name not in known:
            raise UnknownNameError(f"claims of data/claims.yml in {FILE}", repr(name),
                                   nearest(name, list(known)))
    everything = list(claims())
    planted = decided(everything, _book)
    real = decided_of_real(everything, lambda id: study.of_real(f"runs/{id}.csv"))
    return pd.DataFrame([
        {"step": step, "claim": known[name].says, "reference": planted[name].verdict,
         REAL + "_model": real[name].verdict} for step, names in steps.items() for name in names])


def _book(id: str) -> pd.DataFrame | None:
    """A committed run table; the runner takes note of what was read."""
    path = paths.FIGURES / "runs" / f"{id}.csv"
    sha256 = file_sha256(path) if path.is_file() else ""
    trace({"committed": f"runs/{id}.csv", "sha256": sha256})
    found = read_table(path) if path.is_file() else None
    return None if found is None or set(RUN_COLUMNS) - set(found) else found
