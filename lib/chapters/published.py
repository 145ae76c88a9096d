"""Published figures that the study sets beside its own: one CSV a topic in ``data/published``.

Every row carries its source, so that a table drawn from it can be traced, and a ``status``:
``verified`` (read in the source itself or on its authors' page), ``secondary`` (read in a text
about the source), ``inference`` (concluded here, stated nowhere), ``misread`` (stated by a text
that misreads its source; kept in order to be discussed).
"""

from pathlib import Path

import pandas as pd

from lib.errors import CorruptArtefactError, UnknownNameError, nearest, require
from lib.study.paths import DATA

PUBLISHED = DATA / "published"

STATUSES = ("verified", "secondary", "inference", "misread")

COLUMNS = {
    "source": "string",
    "doi_or_url": "string",
    "place": "string",
    "subject": "string",
    "quantity": "string",
    "condition": "string",
    "rho": "Float64",
    "value": "float64",
    "se": "Float64",
    "n": "Int64",
    "status": "string",
    "note": "string",
}
"""Column types; ``rho``, ``se`` (or ``sd``) and ``n`` are empty where the source gives none."""


def names(folder: Path = PUBLISHED) -> list[str]:
    """Topics that have a table of published figures."""
    return sorted(path.stem for path in folder.glob("*.csv"))


def published(name: str, folder: Path = PUBLISHED) -> pd.DataFrame:
    """Published figures on one topic (the file's name), one row a figure; typed as `COLUMNS`."""
    path, known = folder / f"{name}.csv", names(folder)
    require(path.is_file(), "a table of published figures in data/published", repr(name),
            nearest(name, known), UnknownNameError)
    frame = _read(path)
    _check(frame, path)
    return frame


def published_rows(topic: str, arm: str = "subject", condition: str = "condition") -> pd.DataFrame:
    """Published figures as exhibit rows, with their source and how sure they are (``status``).

    Intervals are normal, empty where the source gives no spread; ``rho`` where there is one.

    Parameters
    ----------
    topic : str
        See `published`.
    arm, condition : str
        Columns of the file that name them.
    """
    facts = published(topic)
    reach = (1.96 * facts["se"] if "se" in facts
             else 1.96 * facts["sd"] / facts["n"].astype("Float64") ** 0.5)
    table = pd.DataFrame({
        "arm": facts[arm], "condition": facts[condition], "metric": facts["quantity"],
        "value": facts["value"], "low": facts["value"] - reach, "high": facts["value"] + reach,
        "n": facts["n"], "bases": "", "runs": "", "rho": facts["rho"], "source": facts["source"],
        "status": facts["status"],
    })
    return table if facts["rho"].notna().any() else table.drop(columns="rho")


def _read(path: Path) -> pd.DataFrame:
    """Read as text first: a wrong column list must be reported before a wrong type."""
    raw = pd.read_csv(path, dtype="string", keep_default_na=False)
    kinds = {"sd" if name == "se" and "sd" in raw else name: kind for name, kind in COLUMNS.items()}
    if list(raw.columns) != list(kinds):
        raise _corrupt(path, f"columns {', '.join(kinds)}", f"columns {', '.join(raw.columns)}")
    try:
        return pd.DataFrame({name: _typed(raw[name], kind) for name, kind in kinds.items()})
    except ValueError as error:
        raise _corrupt(path, "numbers in the number columns", str(error)) from error


def _typed(column: pd.Series, kind: str) -> pd.Series:
    """One column in its declared type; an empty cell is missing, except in text."""
    if kind == "string":
        return column
    numbers = pd.to_numeric(column.mask(column == ""))
    if kind == "Int64" and (numbers.dropna() % 1 != 0).any():  # a cast would cut the fraction off
        raise ValueError(f"a fraction in column {column.name}")
    return numbers.astype(kind)


def _check(frame: pd.DataFrame, path: Path) -> None:
    """Every row needs a source, a value and a known status."""
    if unknown := sorted(set(frame["status"]) - set(STATUSES)):
        raise _corrupt(path, f"a status among {', '.join(STATUSES)}", ", ".join(unknown))
    for column in ("source", "doi_or_url", "quantity", "value"):
        if (frame[column].isna() | (frame[column] == "")).any():
            raise _corrupt(path, f"a {column} in every row", "an empty one")


def _corrupt(path: Path, expected: str, found: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"{expected} in {path.name}", found, f"restore data/published/{path.name} from git"
    )
