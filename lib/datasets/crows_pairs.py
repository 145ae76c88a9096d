"""CrowS-Pairs: 1,508 pairs that differ in the group they speak of (Nangia et al. 2020).

The authors' own README warns against its use without care, after Blodgett et al. (2021).
"""

from pathlib import Path

import pandas as pd

from lib.datasets.fetch import locate

COLUMNS = ["item", "bias_type", "direction", "sent_more", "sent_less"]


def pairs(bias_type: str | None = None) -> pd.DataFrame:
    """The original pairs: ``item, bias_type, direction, sent_more, sent_less``.

    ``sent_more`` is the more stereotyping sentence. ``direction`` is ``stereo`` where the sentence
    about the disadvantaged group is the stereotyping one, else ``antistereo``.

    Parameters
    ----------
    bias_type : str, optional
        One of the nine types, such as ``gender`` (262 pairs: 159 stereo, 103 antistereo).
    """
    return _pairs(locate("crows_pairs", "crows_pairs_anonymized.csv"), bias_type)


def revised_pairs(bias_type: str | None = None) -> pd.DataFrame:
    """1,467 pairs (gender: 250) repaired by Neveol et al. (2022) and Pikuliak et al. (2023).

    Types are as in the file: beside the nine and ``other``, one pair says ``Race-color`` and one
    ``stereo``.
    """
    return _pairs(locate("pikuliak2023", "crows_revised.csv"), bias_type)


def _pairs(path: Path, bias_type: str | None) -> pd.DataFrame:
    frame = pd.read_csv(path, index_col=0, keep_default_na=False)
    frame = frame.rename_axis("item").reset_index()
    frame = frame.rename(columns={"stereo_antistereo": "direction"})
    if bias_type is not None:
        frame = frame[frame["bias_type"] == bias_type]
    return frame[COLUMNS].reset_index(drop=True)
