"""Control samples for StereoSet and CrowS-Pairs (Pikuliak, Benova & Bachraty 2023).

A control repeats a pair of sentences about another group. A measure of bias should change its
answer; one that reacts to the frequency of a word, or to negation, does not.
"""

import csv
from collections.abc import Iterable, Sequence

import pandas as pd

from lib.datasets.fetch import locate

FOUR = ["stereo", "anti", "control_stereo", "control_anti"]


def gender_swaps(filtered: bool = False) -> pd.DataFrame:
    """StereoSet items beside the same with the other gender.

    Parameters
    ----------
    filtered : bool
        Only the 147 items that the authors kept, instead of all 251.

    Returns
    -------
    DataFrame
        ``item`` and four sentences: ``stereo`` and ``anti`` differ in the attribute,
        ``control_stereo`` and ``control_anti`` are these two about the other gender. The marks
        ``< >`` of the source, around the attribute, are removed.
    """
    name = "stereoset_genderswap_filtered.txt" if filtered else "stereoset_genderswap.txt"
    text = locate("pikuliak2023", name).read_text(encoding="utf-8")
    lines = [line.strip().replace("<", "").replace(">", "") for line in text.splitlines()]
    lines = [line for line in lines if line]
    # Source order: stereo, its control, anti, its control.
    return _frame(lines[i : i + 4 : 2] + lines[i + 1 : i + 4 : 2] for i in range(0, len(lines), 4))


def crows_controls(kind: str) -> pd.DataFrame:
    """CrowS-Pairs gender items beside altered ones, ``item`` and four sentences as above.

    ``stereo`` and ``anti`` are ``sent_more`` and ``sent_less``; they differ in the group.

    Parameters
    ----------
    kind : {"negation", "antistereotype"}
        The control says the contrary of the stereotype: by a negation (66 samples), or by naming
        the attribute of the other group (65). A pair can have two negated controls.
    """
    path = locate("pikuliak2023", f"crows_{kind}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        columns = list(zip(*csv.reader(file), strict=True))  # one column a pair
    return _frame(
        [*column[:2], *column[i : i + 2]]
        for column in columns for i in range(2, len(column), 2) if column[i]
    )


def _frame(rows: Iterable[Sequence[str]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=FOUR)
    frame.insert(0, "item", [str(i) for i in range(len(frame))])
    return frame
