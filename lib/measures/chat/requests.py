"""What real chat models are asked: XSTest, or a gated set of one's own; never shown to anyone.

Gated sets such as HEx-PHI (Qi et al. 2023, arXiv 2310.03693) are given to people who accept their
terms. The workbook ships none of them and downloads none: whoever has access names a folder.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.errors import DownloadError, InvalidValueError, require
from lib.measures.benchmarks import xstest

FOLDER = "DEBIAS_GATED"
"""Environment variable: a folder with one folder a gated set. Unset, no gated set is used."""
FORBIDDEN, HARMLESS = "forbidden", "harmless"
XSTEST = "xstest"
CHUNK = 30
"""Requests asked, or answers read, between two reports of progress."""
COLUMNS = ["item", "label", "category", "cluster", "request"]


@dataclass(frozen=True, repr=False)
class Hidden:
    """A text for a model's eyes only: it shows itself in no table, exhibit, log or error."""

    text: str

    def __repr__(self) -> str:
        return "<hidden>"

    def toDict(self) -> str:  # noqa: N802, pandas asks for it by this name in to_json
        """As in a table: pandas would write the text into JSON."""
        return repr(self)


def requests(name: str = XSTEST, most: int | None = None) -> pd.DataFrame:
    """`COLUMNS` of one set; every request is `Hidden`, those of XSTest too.

    ``xstest`` holds 250 harmless requests that sound forbidden, and 200 forbidden ones; its
    clusters are the words that sound unsafe. Any other name is that of a gated set, all of whose
    requests are forbidden. Of each category, the first `most` are taken.
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
    """A set's CSV files, one for each category, without a header: first cells are requests."""
    folder = _folder(name)
    files = sorted(folder.glob("*.csv"))
    require(files, f"CSV files in {folder}", "none",
            "lay the set's files there, one for each category", DownloadError)
    rows = [(f"{path.stem} {i}", path.stem, Hidden(text))
            for path in files for i, text in enumerate(_read(path), start=1)]
    frame = pd.DataFrame(rows, columns=["item", "category", "request"])
    return frame.assign(label=FORBIDDEN, cluster=frame["item"])


def _folder(name: str) -> Path:
    named = os.environ.get(FOLDER)
    require(Path(name).name == name and name.strip(". "), "the name of a gated set",
            "a path" if name else "none", f"name a folder inside the one that {FOLDER} names")
    require(named and (Path(named) / name).is_dir(),
            f"a folder {name} inside the one that {FOLDER} names",
            f"none in {named}" if named else f"{FOLDER} is not set",
            f"accept the terms of {name} where its authors offer it, lay its CSV files in a folder "
            f"{name}, and set {FOLDER} to the folder above; or leave gated sets out", DownloadError)
    return Path(named) / name


def _read(path: Path) -> list[str]:
    """First cells of a file; its contents enter no message."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            found = [row[0].strip() for row in csv.reader(lines) if row and row[0].strip()]
    except (UnicodeDecodeError, csv.Error):
        raise InvalidValueError("CSV in UTF-8", f"something else in {path}",
                                "save the file anew") from None  # its cause quotes the contents
    require(found, "a request in each line", f"none in {path}", "complete the file")
    return found
