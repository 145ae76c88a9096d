"""Cells and their splits; the Bayesian label against plain loops; stretches of time."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError
from lib.forecasting.bayes import family_bayes, ma1_family
from lib.forecasting.instructions import rows as processes
from lib.forecasting.instructions.rows import PROCESSES, SPLITS, Cell, bayes, cells, segment
from lib.forecasting.instructions.styles import content
from lib.forecasting.learners import bayes as bayes_ar1
from lib.study.profiles import load_profile

GIVEN = load_profile("sandbox").forecasting


def cell(process, **parameters):
    return Cell(process, parameters, "train")


def test_ar1_has_the_grids_of_the_profile():
    grids = {split: [c.parameters["rho"] for c in cells(GIVEN)
                     if c.process == "ar1" and c.split == split] for split in SPLITS}
    assert grids == {"train": GIVEN.rhos, "validation": GIVEN.validation_rhos,
                     "test": GIVEN.unseen_rhos}


def test_every_process_is_in_every_split():
    pairs = {(c.process, c.split) for c in cells(GIVEN)}
    assert pairs == set(itertools.product(PROCESSES, SPLITS))


def test_no_parameters_are_in_two_splits():
    each = [(c.process, tuple(sorted(c.parameters.items()))) for c in cells(GIVEN)]
    assert len(set(each)) == len(each)


def test_parameters_in_two_splits_are_refused(monkeypatch):
    changed = copy.deepcopy(content())
    changed["processes"]["ma1"]["test"] = [dict(changed["processes"]["ma1"]["train"][0])]
    monkeypatch.setattr(processes, "content", lambda: changed)
    with pytest.raises(InvalidValueError, match=r"ma1\(theta=-0.4\) repeated"):
        cells(GIVEN)


def test_rho_given_twice_in_the_profile_counts_once():
    twice = GIVEN.model_copy(update={"rhos": [0.2, 0.2]})
    assert [c.name for c in cells(twice) if c.split == "train"][:2] == [
        "ar1(rho=0.2)", "ar2(phi1=0.6,phi2=0.2)"
    ]


@pytest.mark.parametrize(("history", "rounds"), [(4, 2), (12, 4), (40, 40)])
def test_stretches_follow_each_other_and_hold_windows_and_outcomes(history, rounds):
    stretches = [segment(split, history, rounds) for split in SPLITS]
    assert stretches[0][0] == 0
    for (_, end), (start, _) in itertools.pairwise(stretches):
        assert end == start
    for start, end in stretches:
        first_window_ends, last_outcome = start + history - 1, end - 1
        assert last_outcome - 2 - first_window_ends + 1 == rounds


@pytest.mark.parametrize(("drawn", "first", "second"), [
    (cell("ar1", rho=0.6), 0.6, 0.36),
    (cell("ar2", phi1=1.2, phi2=-0.5), 0.8, 0.46),  # phi1 / (1 - phi2), phi1 r1 + phi2
    (cell("ma1", theta=0.5), 0.4, 0.0),  # theta / (1 + theta^2)
])
def test_drawn_series_have_the_autocorrelations_of_their_law(drawn, first, second):
    z = drawn.draw(4000, 30, np.random.default_rng(3))
    assert z.shape == (4000, 30)
    variance = (z**2).mean()
    assert (z[:, 1:] * z[:, :-1]).mean() / variance == pytest.approx(first, abs=0.02)
    assert (z[:, 2:] * z[:, :-2]).mean() / variance == pytest.approx(second, abs=0.02)


def test_local_level_has_noise_of_one_and_steps_of_its_ratio():
    z = cell("local_level", level_ratio=0.5).draw(20_000, 6, np.random.default_rng(3))
    steps = np.diff(z, axis=1)  # w + n' - n: variance 0.25 + 2, first autocovariance -1
    assert steps.var() == pytest.approx(2.25, rel=0.03)
    assert (steps[:, 1:] * steps[:, :-1]).mean() == pytest.approx(-1, rel=0.03)


@pytest.mark.parametrize("c", cells(GIVEN), ids=lambda c: c.name)
def test_path_is_the_best_forecast_of_what_is_drawn(c):
    z = c.draw(3000, 20, np.random.default_rng(5))
    for h in (1, 2):
        error = z[:, 10 + h] - c.path(z, h)[:, 10]
        # Orthogonal to what was known: a correlation within four standard errors of zero.
        for known in (z[:, 10], z[:, 9]):
            assert abs(np.corrcoef(error, known)[0, 1]) < 4 / np.sqrt(3000)


def test_bayes_of_an_ar1_by_hand():
    z = cell("ar1", rho=0.5).draw(6, 8, np.random.default_rng(1))
    found = bayes(z, "ar1", (1, 2))
    for i, x in enumerate(z):
        weight = {k / 10: np.exp(-0.5 * sum((b - k / 10 * a) ** 2
                                            for a, b in itertools.pairwise(x)))
                  for k in range(11)}
        for j, h in enumerate((1, 2)):
            expected = sum(w * rho**h for rho, w in weight.items()) / sum(weight.values()) * x[-1]
            assert found[j, i] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("process", ["ar1", "ma1"])
def test_bayes_agrees_with_the_study_s_own_on_frames(process):
    z = cell("ma1", theta=0.6).draw(20, 9, np.random.default_rng(2))
    frame = pd.DataFrame({
        "x": z[:, -1], "mu": 0.0, "sigma": 1.0, "horizon": 1,
        "history": z[:, 1:].tolist(), "previous_history": z[:, :-1].tolist(),
    })
    grid = [k / 10 for k in range(11)]
    ours = bayes_ar1(frame, rho_grid=grid) if process == "ar1" else family_bayes(frame, ma1_family)
    found = bayes(z[:, 1:], process, (1, 2))
    np.testing.assert_allclose(found[0], ours["forecast"], atol=1e-10)
    two = bayes(z[:, :-1], process, (2,))[0]
    np.testing.assert_allclose(two, ours["previous_forecast"], atol=1e-10)
