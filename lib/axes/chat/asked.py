"""What real chat models are asked: XSTest, or a gated set of one's own."""

import pandas as pd

from lib.datasets import gated, xstest
from lib.datasets.gated import Hidden

FORBIDDEN, HARMLESS = "forbidden", "harmless"
XSTEST = "xstest"
COLUMNS = ["item", "label", "category", "cluster", "request"]


def requests(name: str = XSTEST, most: int | None = None) -> pd.DataFrame:
    """`COLUMNS` of one set; every request is `Hidden`, those of XSTest too.

    Parameters
    ----------
    name : str
        ``xstest``: 250 harmless requests that sound forbidden, and 200 forbidden ones. Any other
        name is that of a gated set (`lib.datasets.gated`), all of whose requests are forbidden.
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
    frame = gated.requests(name)
    return frame.assign(label=FORBIDDEN, cluster=frame["item"])
