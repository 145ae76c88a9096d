"""Published figures that the study sets beside its own: one CSV a topic in ``data/published``.

Every row carries its source, so that a table drawn from it can be traced, and a ``status``:
``verified`` (read in the source itself or on its authors' page), ``secondary`` (read in a text
about the source), ``inference`` (concluded here, stated nowhere), ``misread`` (stated by a text
that misreads its source; kept in order to be discussed).
"""

from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from lib.errors import CorruptArtefactError, UnknownNameError
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
"""Column types. ``rho``, ``se`` and ``n`` (subjects) are empty where the source gives none."""


def names(folder: Path = PUBLISHED) -> list[str]:
    """Topics that have a table of published figures."""
    return sorted(path.stem for path in folder.glob("*.csv"))


def published(name: str, folder: Path = PUBLISHED) -> pd.DataFrame:
    """Published figures on one topic, one row a figure.

    Parameters
    ----------
    name : str
        Topic, the file's name without ``.csv``; for example ``extrapolation``.
    folder : Path, optional
        Where the tables lie.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`, in that order, with those types.

    Raises
    ------
    UnknownNameError
        If there is no table of that name.
    CorruptArtefactError
        If columns, types or statuses are not as declared, or a row has no source.
    """
    path = folder / f"{name}.csv"
    if not path.is_file():
        known = names(folder)
        near = get_close_matches(name, known, n=1) or known
        raise UnknownNameError(
            f"a table of published figures ({', '.join(known)})",
            repr(name),
            f"use {near[0]!r}" if near else f"add {path.name} to data/published",
        )
    frame = _read(path)
    _check(frame, path)
    return frame


def _read(path: Path) -> pd.DataFrame:
    """Read as text first: a wrong column list must be reported before a wrong type."""
    raw = pd.read_csv(path, dtype="string", keep_default_na=False)
    if list(raw.columns) != list(COLUMNS):
        raise _corrupt(path, f"columns {', '.join(COLUMNS)}", f"columns {', '.join(raw.columns)}")
    try:
        return pd.DataFrame({name: _typed(raw[name], kind) for name, kind in COLUMNS.items()})
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
    unknown = sorted(set(frame["status"]) - set(STATUSES))
    if unknown:
        raise _corrupt(path, f"a status among {', '.join(STATUSES)}", ", ".join(unknown))
    for column in ("source", "doi_or_url", "quantity"):
        if (frame[column] == "").any():
            raise _corrupt(path, f"a {column} in every row", "an empty one")
    if frame["value"].isna().any():
        raise _corrupt(path, "a value in every row", "an empty one")


def _corrupt(path: Path, expected: str, found: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"{expected} in {path.name}", found, f"restore data/published/{path.name} from git"
    )
