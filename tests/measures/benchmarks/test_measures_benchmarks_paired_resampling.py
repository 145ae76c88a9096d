"""Intervals of StereoSet's scores: loops, an earlier computation, coverage of a known truth."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from scipy import stats
from stereoset_arms import arm, loop

from lib.errors import InvalidValueError
from lib.measures.benchmarks import paired as resampling
from lib.measures.benchmarks import stereoset
from lib.measures.benchmarks.stereoset import stereoset_scores


@pytest.mark.parametrize("by", resampling.DRAWN)
def test_bootstrap_equals_its_loop(by):
    frame = arm(2)
    truth = loop([frame], by, 40, seed=0)
    for i, estimate in enumerate(resampling.bootstrap(frame, by, 40, seed=0)):
        assert estimate.value == pytest.approx(stereoset_scores(frame)[estimate.name])
        assert estimate.se == pytest.approx(truth[:, i].std(ddof=1))


@needs("stereoset")
def test_sampling_error_of_the_published_scores():
    """An earlier computation with 2,000 draws of items: SS 62.67 [56.50, 68.33], sd 3.03."""
    scores = stereoset.with_scores(stereoset.intrasentence(), stereoset.published_scores())
    found = {e.name: e for e in resampling.bootstrap(scores, "item", 10_000, seed=0)}
    # A limit of 2,000 draws has an error of .06 deviations; three times that of their limits.
    for name, sd, low, high in (("SS", 3.03, 56.50, 68.33), ("LMS", 1.3, 90.76, 95.80),
                                ("ICAT", 5.78, 58.88, 81.35)):
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=0.18 * sd)
        assert found[name].se == pytest.approx(sd, rel=0.05)
    assert found["SS"].n == found["SS"].clusters == 255


def test_intervals_cover_the_truth():
    """SS of a fresh sample of 40 words: P(stereotype wins) is known in closed form."""
    truth = 100 * stats.norm.cdf(0.5 / np.sqrt(3))  # two sentences and the word, each N(0, 1)
    found = [next(e for e in resampling.bootstrap(arm(s, 40, 8, 0.5), draws=300, seed=0)
                  if e.name == "SS") for s in range(150)]
    assert 0.89 < np.mean([e.covers(truth) for e in found]) < 0.99


def test_seeds_decide():
    one, same, other = (resampling.bootstrap(arm(5), seed=s) for s in (0, 0, 1))
    assert [e.low for e in one] == [e.low for e in same] != [e.low for e in other]


def test_order_of_rows_moves_the_estimate_by_rounding_only():
    frame = arm(6)
    one, other = (resampling.bootstrap(f, seed=0) for f in (frame, frame[::-1]))
    assert [e.value for e in one] == pytest.approx([e.value for e in other], rel=1e-12)


def test_refusals():
    frame = arm(0)
    with pytest.raises(InvalidValueError, match="each item once"):
        resampling.bootstrap(pd.concat([frame, frame]), seed=0)
    with pytest.raises(InvalidValueError, match="at least two values of target"):
        resampling.bootstrap(frame.head(3), seed=0)
    with pytest.raises(InvalidValueError, match="target, item"):
        resampling.bootstrap(frame, by="cluster", seed=0)
    with pytest.raises(InvalidValueError, match="no column item"):
        resampling.bootstrap(frame.drop(columns="item"), seed=0)
