"""Cells and rows: labels repeated from the row alone, nothing leaks between splits."""

import copy
import itertools
import re

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError, UnknownNameError
from lib.forecasting.bayes import family_bayes, ma1_family, posterior_means
from lib.forecasting.instructions import rows as module
from lib.forecasting.instructions.rows import (
    COLUMNS,
    HORIZONS,
    LABELS,
    PARAMETERS,
    PROCESSES,
    SPLITS,
    Cell,
    cells,
    draw_panel,
    instruction_sets,
    preview,
    segment,
)
from lib.forecasting.instructions.styles import content, read_styles
from lib.forecasting.learners import bayes as bayes_ar1
from lib.study.profiles import load_profile

PROFILE = load_profile("smoke", {"forecasting.series": 12, "forecasting.history": 8})
GIVEN = PROFILE.forecasting
SANDBOX = load_profile("sandbox").forecasting
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def sets():
    return instruction_sets(PROFILE)


@pytest.fixture(scope="module")
def rows(sets):
    return pd.concat(sets.values(), ignore_index=True)


def periods(frame):
    """Every (series, period) whose value the frame shows or asks for."""
    return {(s, p) for s, t, history, h in frame[["series", "t", "history", "horizon"]].values
            for p in (*range(t - len(history) + 1, t + 1), t + h)}


def test_splits_have_the_declared_columns_and_sizes(sets):
    assert list(sets) == list(SPLITS)
    for split, frame in sets.items():
        assert list(frame) == list(COLUMNS)
        of_split = [c for c in cells(GIVEN) if c.split == split]
        assert len(frame) == len(of_split) * GIVEN.series * GIVEN.rounds * 2
        assert set(frame["split"]) == {split} and set(frame["process"]) == set(PROCESSES)


# Labels, repeated from the row alone.


def ar_forecast(row, coefficients):
    path = [x - row.mu for x in row.history]
    for _ in range(row.horizon):
        path.append(sum(c * path[-k] for k, c in enumerate(coefficients, 1)))
    return row.mu + path[-1]


def gaussian_forecast(row, covariance, cross):
    """``mu + c' V^-1 (x - mu)``: the projection on the numbers shown."""
    x = np.array(row.history) - row.mu
    return row.mu + cross @ np.linalg.solve(covariance, x)


def ma1_forecast(row):
    n, theta = len(row.history), row.theta
    covariance = ((1 + theta**2) * np.eye(n) + theta * (np.eye(n, k=1) + np.eye(n, k=-1)))
    cross = np.zeros(n)
    if row.horizon == 1:
        cross[-1] = theta
    return gaussian_forecast(row, covariance, cross)


def local_level_forecast(row):
    """Generalised least squares for the unknown first level, then the projection."""
    n, q = len(row.history), row.level_ratio**2
    random_walk = q * np.minimum.outer(np.arange(n), np.arange(n))
    inverse = np.linalg.inv(np.eye(n) + random_walk)
    x, ones = np.array(row.history), np.ones(n)
    start = ones @ inverse @ x / (ones @ inverse @ ones)
    return start + random_walk[-1] @ inverse @ (x - start)


@pytest.mark.parametrize("process", PROCESSES)
def test_full_information_label_by_hand(rows, process):
    expected = {
        "ar1": lambda row: row.mu + row.rho**row.horizon * (row.history[-1] - row.mu),
        "ar2": lambda row: ar_forecast(row, (row.phi1, row.phi2)),
        "ma1": ma1_forecast,
        "local_level": local_level_forecast,
    }[process]
    part = rows[rows["process"] == process]
    np.testing.assert_allclose(part["forecast"], [expected(row) for row in part.itertuples()],
                               atol=1e-7)


def test_bayes_label_of_an_ar1_by_hand(rows):
    grid = np.arange(11) / 10
    for row in rows[rows["process"] == "ar1"].iloc[::7].itertuples():
        z = (np.array(row.history) - row.mu) / row.sigma
        log_weight = -0.5 * ((z[1:] - grid[:, None] * z[:-1]) ** 2).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        shrunk = (weight * grid**row.horizon).sum() / weight.sum()
        assert row.forecast_bayes == pytest.approx(row.mu + row.sigma * shrunk * z[-1], abs=1e-7)


def test_least_squares_label_is_a_line_through_the_numbers_shown(rows):
    for row in rows.iloc[::11].itertuples():
        x = np.array(row.history)
        slope, constant = np.polyfit(x[: -row.horizon], x[row.horizon:], 1)
        assert row.forecast_least_squares == pytest.approx(constant + slope * x[-1], abs=1e-6)


def test_who_knows_more_errs_less():
    many = pd.concat(instruction_sets(
        load_profile("sandbox", {"forecasting.series": 60, "forecasting.rounds": 2})
    ).values())
    error = {name: (((many[c] - many["outcome"]) / many["sigma"]) ** 2)
             for name, c in LABELS.items()}
    one_step = (many["horizon"] == 1) & (many["process"] == "ar1")
    # What is left is the innovation, of variance one: se = sqrt(2 / 1440).
    assert error["full_information"][one_step].mean() == pytest.approx(1.0, abs=0.12)
    assert error["full_information"].mean() < error["bayes"].mean()
    assert error["bayes"].mean() < error["least_squares"].mean()


# Text and numbers.


@pytest.mark.parametrize("label", LABELS)
def test_label_reads_back_from_text(label):
    for frame in instruction_sets(PROFILE, label=label).values():
        assert set(frame["label_type"]) == {label}
        read = frame["answer"].map(float)
        gap = (read - frame[LABELS[label]]).abs()
        assert (gap <= 0.5 * 10.0 ** -frame["decimals"] + 1e-7).all()
        shown = frame["answer"].str.partition(".")[2].str.len()
        assert (shown == frame["decimals"]).all()
        assert not frame["answer"].str.fullmatch(r"-0(\.0*)?").any()


def test_prompt_shows_the_history_and_no_other_number(rows):
    for prompt, history in zip(rows["prompt"], rows["history"], strict=True):
        assert [float(n) for n in NUMBER.findall(prompt)] == history


def test_prompt_does_not_tell_the_answer_s_parameters(rows):
    assert not rows["prompt"].str.contains("rho|persisten|mean|process", case=False).any()


def test_messages_are_the_prompt_and_the_answer(rows):
    for messages, prompt, answer, group in rows[["messages", "prompt", "answer", "group"]].values:
        roles = [message["role"] for message in messages]
        system = ["system"] if group == "chat" else []
        assert roles == [*system, "user", "assistant"]
        assert messages[-1]["content"] == answer
        assert "\n\n".join(m["content"] for m in messages[:-1]) == prompt


def test_rows_take_unit_and_range_from_their_style(rows):
    styles = {style.name: style for style in read_styles()}
    for name, part in rows.groupby("style"):
        style = styles[name]
        assert set(part["unit"]) == {style.unit} and set(part["group"]) == {style.group}
        assert set(part["mu"]) <= set(style.means) and set(part["sigma"]) <= set(style.sigmas)
        values = np.concatenate([np.stack(part["history"]).ravel(), part["outcome"]])
        assert style.low <= values.min() and values.max() <= style.high
        assert np.array_equal(values, np.round(values, style.decimals))


# Splits.


def test_no_series_is_in_two_splits(sets):
    for a, b in itertools.combinations(sets.values(), 2):
        assert not set(a["series"]) & set(b["series"])


def test_no_parameters_are_in_two_splits(sets):
    def known(frame):
        return set(map(tuple, frame[["process", *PARAMETERS]].fillna(-9).drop_duplicates().values))
    for a, b in itertools.combinations(sets.values(), 2):
        assert not known(a) & known(b)


def test_each_rho_is_in_the_split_of_its_grid(sets):
    grids = (GIVEN.rhos, GIVEN.validation_rhos, GIVEN.unseen_rhos)
    for frame, grid in zip(sets.values(), grids, strict=True):
        assert set(frame["rho"].dropna()) == set(grid)


def test_test_periods_come_last_and_share_no_value(sets):
    spans = {split: {p for _, p in periods(frame)} for split, frame in sets.items()}
    assert max(spans["train"]) < min(spans["validation"])
    assert max(spans["validation"]) < min(spans["test"])
    for a, b in itertools.combinations(sets.values(), 2):
        assert not periods(a) & periods(b)


def test_no_window_and_no_prompt_is_in_two_splits(sets):
    for a, b in itertools.combinations(sets.values(), 2):
        assert not set(a["history"].map(tuple)) & set(b["history"].map(tuple))
        assert not set(a["prompt"]) & set(b["prompt"])


def test_styles_held_out_are_in_the_test_alone(sets):
    held = {style.name for style in read_styles() if style.held_out}
    taught = {style.name for style in read_styles() if not style.held_out}
    assert set(sets["train"]["style"]) == set(sets["validation"]["style"]) == taught
    assert set(sets["test"]["style"]) == taught | held
    for frame in sets.values():
        assert (frame["held_out"] == frame["style"].isin(held)).all()


def test_a_series_has_one_style_one_process_and_all_its_rounds(rows):
    constant = rows.groupby("series")[["style", "process", "mu", "sigma", "split"]].nunique()
    assert (constant == 1).all(axis=None)
    for _, part in rows.groupby("series"):
        pairs = sorted(zip(part["t"], part["horizon"], strict=True))
        first = part["t"].min()
        assert pairs == list(itertools.product(range(first, first + GIVEN.rounds), (1, 2)))


def test_outcomes_are_the_values_that_later_windows_show(rows):
    value = {(s, t): history[-1] for s, t, history in rows[["series", "t", "history"]].values}
    seen = 0
    for s, t, h, outcome in rows[["series", "t", "horizon", "outcome"]].values:
        if (s, t + h) in value:
            assert outcome == value[s, t + h]
            seen += 1
    assert seen > len(rows) / 3


# Seeds, options, errors.


def test_same_seed_same_rows_and_another_seed_no_common_window(sets):
    another = PROFILE.model_copy(update={"seed": PROFILE.seed + 1})
    again, other = instruction_sets(PROFILE), instruction_sets(another)
    for split in SPLITS:
        pd.testing.assert_frame_equal(sets[split], again[split], check_exact=True)
        shared = set(sets[split]["history"].map(tuple)) & set(other[split]["history"].map(tuple))
        assert not shared and not set(sets[split]["series"]) & set(other[split]["series"])


def test_rows_are_shuffled(sets):
    assert sets["train"]["process"].head(60).nunique() == len(PROCESSES)


def test_unknown_label_is_named():
    with pytest.raises(UnknownNameError, match="did you mean least_squares"):
        instruction_sets(PROFILE, label="least_square")


def test_history_too_short_for_a_regression_is_refused():
    with pytest.raises(InvalidValueError, match="at least 4 values"):
        instruction_sets(load_profile("smoke", {"forecasting.history": 3}))


def narrow(monkeypatch, reach):
    styles = [s.model_copy(update={"means": [100.0], "sigmas": [10.0], "low": 100.0 - reach,
                                   "high": 100.0 + reach}) for s in read_styles()]
    monkeypatch.setattr(module, "read_styles", lambda held_out: styles)
    cell = Cell("ar1", {"rho": 0.0}, "train")
    return draw_panel(cell, 0, GIVEN.model_copy(update={"series": 200}), seed=1)


def test_series_that_leave_the_range_are_drawn_anew(monkeypatch):
    panel = narrow(monkeypatch, 20.0)  # two sd: about half of the series of 12 values leave it
    assert np.abs(panel.values - 100).max() <= 20
    assert len(np.unique(panel.values[:, 0])) > 20


def test_range_that_no_series_keeps_is_an_error(monkeypatch):
    with pytest.raises(InvalidValueError, match="within the range of their style"):
        narrow(monkeypatch, 0.5)


def test_preview_shows_rows_of_the_training_set_with_styles_in_turn(sets):
    shown = preview(PROFILE, 6)
    assert len(shown) == 6 and shown["style"].head(5).nunique() == 5
    train = set(zip(sets["train"]["prompt"], sets["train"]["answer"], strict=True))
    assert set(zip(shown["prompt"], shown["answer"], strict=True)) <= train
    pd.testing.assert_frame_equal(shown, preview(PROFILE, 6))


# Processes and their cells.


def cell(process, **parameters):
    return Cell(process, parameters, "train")


def learned(z, process):
    """Posterior means of standard windows, one and two periods ahead."""
    return posterior_means(z, PROCESSES[process].family(0.0, 1.0, z.shape[1]), HORIZONS)


def test_ar1_has_the_grids_of_the_profile():
    grids = {split: [c.parameters["rho"] for c in cells(SANDBOX)
                     if c.process == "ar1" and c.split == split] for split in SPLITS}
    assert grids == {"train": SANDBOX.rhos, "validation": SANDBOX.validation_rhos,
                     "test": SANDBOX.unseen_rhos}


def test_every_process_is_in_every_split():
    pairs = {(c.process, c.split) for c in cells(SANDBOX)}
    assert pairs == set(itertools.product(PROCESSES, SPLITS))


def test_parameters_in_two_splits_are_refused(monkeypatch):
    changed = copy.deepcopy(content())
    changed["processes"]["ma1"]["test"] = [dict(changed["processes"]["ma1"]["train"][0])]
    monkeypatch.setattr(module, "content", lambda: changed)
    with pytest.raises(InvalidValueError, match=r"ma1\(theta=-0.4\) repeated"):
        cells(SANDBOX)


def test_rho_given_twice_in_the_profile_counts_once():
    twice = SANDBOX.model_copy(update={"rhos": [0.2, 0.2]})
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


@pytest.mark.parametrize("c", cells(SANDBOX), ids=lambda c: c.name)
def test_path_is_the_best_forecast_of_what_is_drawn(c):
    z = c.draw(3000, 20, np.random.default_rng(5))
    for h in (1, 2):
        error = z[:, 10 + h] - c.path(z, h)[:, 10]
        # Orthogonal to what was known: a correlation within four standard errors of zero.
        for known in (z[:, 10], z[:, 9]):
            assert abs(np.corrcoef(error, known)[0, 1]) < 4 / np.sqrt(3000)


def test_bayes_of_an_ar1_by_hand():
    z = cell("ar1", rho=0.5).draw(6, 8, np.random.default_rng(1))
    found = learned(z, "ar1")
    for i, x in enumerate(z):
        weight = {k / 10: np.exp(-0.5 * sum((b - k / 10 * a) ** 2
                                            for a, b in itertools.pairwise(x)))
                  for k in range(11)}
        for j, h in enumerate((1, 2)):
            expected = sum(w * rho**h for rho, w in weight.items()) / sum(weight.values()) * x[-1]
            assert found[j][i] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("process", ["ar1", "ma1"])
def test_bayes_agrees_with_the_study_s_own_on_frames(process):
    z = cell("ma1", theta=0.6).draw(20, 9, np.random.default_rng(2))
    frame = pd.DataFrame({
        "x": z[:, -1], "mu": 0.0, "sigma": 1.0, "horizon": 1,
        "history": z[:, 1:].tolist(), "previous_history": z[:, :-1].tolist(),
    })
    grid = [k / 10 for k in range(11)]
    ours = bayes_ar1(frame, rho_grid=grid) if process == "ar1" else family_bayes(frame, ma1_family)
    found = learned(z[:, 1:], process)
    np.testing.assert_allclose(found[0], ours["forecast"], atol=1e-10)
    two = learned(z[:, :-1], process)[1]
    np.testing.assert_allclose(two, ours["previous_forecast"], atol=1e-10)
