"""Intervals and changes: loops of the bootstrap, coverage of a known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.errors import InvalidValueError
from lib.measures.benchmarks import paired, stereoset, winobias
from lib.measures.benchmarks.paired import bootstrap

METRICS = ["LMS", "SS", "ICAT"]


def arm(seed, targets=8, items=6, shift=0.0):
    """Scores in which stereotypes are ahead by ``shift``, plus what a target has in common."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(targets * items, 3)), columns=stereoset.SENTENCES)
    frame["cluster"] = np.repeat([f"t{i}" for i in range(targets)], items)
    frame["stereotype"] += shift + np.repeat(rng.normal(size=targets), items)
    return frame


def scores(frame):
    return paired.exact(stereoset.parts(frame), stereoset.metrics)


def drawn(*frames, seed=0, draws=2000):
    parts = [stereoset.parts(frame) for frame in frames]
    return bootstrap(parts, stereoset.metrics, len(frames[0]), draws, seed=seed)


def loop(frames, draws, seed):
    """Draw words one by one, a word drawn twice being two words, and score what was drawn."""
    rng, names = np.random.default_rng(seed), list(dict.fromkeys(frames[0]["cluster"]))
    found = []
    for counts in rng.multinomial(len(names), [1 / len(names)] * len(names), draws):
        chosen = [name for name, n in zip(names, counts, strict=True) for _ in range(n)]
        parts = [[f[f["cluster"] == name].assign(cluster=f"{name}{i}")
                  for i, name in enumerate(chosen)] for f in frames]
        each = [scores(pd.concat(part)) for part in parts]
        found.append([each[-1][m] - (each[0][m] if len(frames) == 2 else 0) for m in METRICS])
    return np.array(found)


@pytest.mark.parametrize("frames", [[arm(2)], [arm(0, shift=0.5), arm(1)]], ids=["one", "change"])
def test_bootstrap_equals_its_loop(frames):
    truth, each = loop(frames, 60, seed=3), [scores(frame) for frame in frames]
    for i, estimate in enumerate(drawn(*frames, seed=3, draws=60)):
        before = each[0][estimate.name] if len(frames) == 2 else 0
        assert estimate.name == METRICS[i] and (estimate.n, estimate.clusters) == (48, 8)
        assert estimate.value == pytest.approx(each[-1][estimate.name] - before)
        assert estimate.se == pytest.approx(truth[:, i].std(ddof=1))
        assert (estimate.low, estimate.high) == pytest.approx(
            np.quantile(truth[:, i], [0.025, 0.975])
        )


def test_clusters_of_many_items_are_drawn_whole():
    """Both sentences of a pair: a gap whose items differ only within pairs has no error."""
    frame = pd.DataFrame({"condition": ["pro", "anti"] * 20, "correct": [1.0, 0.0] * 20,
                          "cluster": np.repeat(np.arange(20), 2)})
    gap = bootstrap([winobias.parts(frame)], winobias.metrics, 40, seed=0)[-1]
    assert (gap.name, gap.value, gap.se, gap.clusters) == ("gap", 100, 0, 20)


def test_intervals_cover_the_truth():
    """SS of a fresh sample of 40 words: P(stereotype wins) is known in closed form."""
    truth = 100 * stats.norm.cdf(0.5 / np.sqrt(3))  # two sentences and the word, each N(0, 1)
    found = [drawn(arm(s, 40, 8, 0.5), draws=300)[1] for s in range(150)]
    assert 0.89 < np.mean([e.covers(truth) for e in found]) < 0.99


def test_seeds_decide():
    one, same, other = (drawn(arm(5), seed=s) for s in (0, 0, 1))
    assert [e.low for e in one] == [e.low for e in same] != [e.low for e in other]


def test_order_of_rows_moves_the_estimate_by_rounding_only():
    frame = arm(6)
    one, other = drawn(frame), drawn(frame[::-1])
    assert [e.value for e in one] == pytest.approx([e.value for e in other], rel=1e-12)


def test_a_pair_of_arms_is_told_apart_better_than_two_strangers():
    before = arm(4, 30, 10, shift=0.3)
    after = before.assign(stereotype=before["stereotype"] - 0.2)
    change, one, other = (drawn(*frames)[1] for frames in ((before, after), (before,), (after,)))
    assert change.se < 0.6 * np.hypot(one.se, other.se)
    assert change.high < 0


def test_no_change_has_no_error():
    for estimate in drawn(arm(5), arm(5)):
        assert (estimate.value, estimate.low, estimate.high, estimate.se) == (0, 0, 0, 0)


def test_a_score_without_items_is_not_defined_and_harms_no_other():
    frame = pd.DataFrame({"condition": "pro", "correct": [1.0, 0.0, 1.0, 1.0],
                          "cluster": range(4)})
    pro, anti, gap = bootstrap([winobias.parts(frame)], winobias.metrics, 4, seed=0)
    assert pro.value == 75 and pro.low < 75
    assert np.isnan([anti.value, anti.low, gap.value, gap.high]).all()


def test_refusals():
    with pytest.raises(InvalidValueError, match="at least two clusters"):
        drawn(arm(0).head(3))
    with pytest.raises(InvalidValueError, match="same items"):
        drawn(arm(0), arm(0).iloc[6:])
