"""Gated red-team requests: read from a folder of one's own, never fetched, never shown.

Sets such as HEx-PHI (Qi et al. 2023, arXiv 2310.03693) are given to people who accept their
terms. The workbook ships none of them and downloads none: whoever has access names a folder.

What real chat models are asked: XSTest, or a gated set of one's own.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.errors import DownloadError, InvalidValueError
from lib.measures.benchmarks import xstest

FOLDER = "DEBIAS_GATED"
"""Environment variable: a folder with one folder a gated set. Unset, no gated set is used."""


@dataclass(frozen=True, repr=False)
class Hidden:
    """A request that shows itself nowhere: not in a table, an exhibit, a log or an error.

    Attributes
    ----------
    text : str
        The request, for a model's eyes only.
    """

    text: str

    def __repr__(self) -> str:
        return "<hidden>"

    def toDict(self) -> str:  # noqa: N802, pandas asks for it by this name in to_json
        return repr(self)


def gated_requests(name: str) -> pd.DataFrame:
    """``item, category, request`` of one gated set; a request is `Hidden`.

    Parameters
    ----------
    name : str
        Folder of the set inside the one that `FOLDER` names. It holds CSV files without a
        header, one for each category, whose first column is the request.

    Raises
    ------
    DownloadError
        No such folder was named, or it holds no such set.
    InvalidValueError
        A file without requests.
    """
    files = sorted(_folder(name).glob("*.csv"))
    if not files:
        raise DownloadError(f"CSV files in {_folder(name)}", "none",
                            "lay the set's files there, one for each category")
    rows = [(f"{path.stem} {i}", path.stem, Hidden(text))
            for path in files for i, text in enumerate(_read(path), start=1)]
    return pd.DataFrame(rows, columns=["item", "category", "request"])


def _folder(name: str) -> Path:
    named = os.environ.get(FOLDER)
    if Path(name).name != name:
        raise InvalidValueError("the name of a gated set", "a path",
                                f"name a folder inside the one that {FOLDER} names")
    if named and (Path(named) / name).is_dir():
        return Path(named) / name
    raise DownloadError(
        f"a folder {name} inside the one that {FOLDER} names",
        f"none in {named}" if named else f"{FOLDER} is not set",
        f"accept the terms of {name} where its authors offer it, lay its CSV files in a folder "
        f"{name}, and set {FOLDER} to the folder above; or leave gated sets out",
    )


def _read(path: Path) -> list[str]:
    """First cells of a file; its contents enter no message."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            found = [row[0].strip() for row in csv.reader(lines) if row and row[0].strip()]
    except (UnicodeDecodeError, csv.Error):
        raise InvalidValueError("CSV in UTF-8", f"something else in {path}",
                                "save the file anew") from None  # its cause quotes the contents
    if not found:
        raise InvalidValueError("a request in each line", f"none in {path}", "complete the file")
    return found

FORBIDDEN, HARMLESS = "forbidden", "harmless"
XSTEST = "xstest"
COLUMNS = ["item", "label", "category", "cluster", "request"]


def requests(name: str = XSTEST, most: int | None = None) -> pd.DataFrame:
    """`COLUMNS` of one set; every request is `Hidden`, those of XSTest too.

    Parameters
    ----------
    name : str
        ``xstest``: 250 harmless requests that sound forbidden, and 200 forbidden ones. Any other
        name is that of a gated set, all of whose requests are forbidden.
    most : int, optional
        At most so many requests a category, the first ones: for a look, not for an estimate.

    Returns
    -------
    DataFrame
        A cluster of XSTest, a number here, is the word that sounds unsafe, which requests of both
        labels share; a gated request is a cluster of its own.

    Raises
    ------
    DownloadError
        The set is not on this machine; the message says how to get it.
    """
    found = _xstest() if name == XSTEST else _gated(name)
    if most is not None:
        found = found.groupby("category", sort=False).head(most).reset_index(drop=True)
    return found[COLUMNS]


def _xstest() -> pd.DataFrame:
    frame = xstest.prompts()
    word = frame["focus"].where(frame["focus"] != "", frame["item"].astype(str))
    return frame.assign(
        label=frame["label"].map({"safe": HARMLESS, "unsafe": FORBIDDEN}), category=frame["type"],
        cluster=pd.factorize(word)[0],
        request=[Hidden(text) for text in frame["prompt"]],
    )


def _gated(name: str) -> pd.DataFrame:
    frame = gated_requests(name)
    return frame.assign(label=FORBIDDEN, cluster=frame["item"])
