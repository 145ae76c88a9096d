"""Margins by hand, and every kind of refusal attacked with every arm."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.chapters import margins
from lib.chapters.attacks import answers
from lib.measures.safety import requests
from lib.world.bases import base_models
from lib.world.variants import VARIANTS

ARMS = {"full": {"method": "full", "learning_rates": [0.001]},
        "full_tokenwise": {"method": "full", "regularizer": "tokenwise",
                           "learning_rates": [0.001]}}
CHOSEN = {arm: {"learning_rate": 0.001, "strength": 1.0} for arm in ARMS}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    changes = {"safety.arms": ARMS, "safety.steps": 2}
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "06", **changes)


@pytest.fixture(scope="module")
def kinds(study):
    return margins.refusal_kinds(study, base_models(study))


def frame(p):
    asked = requests().query("benchmark == 'unseen_member'").reset_index(drop=True)
    return asked.assign(p_refusal=p, cluster=asked["thing"])


def test_a_margin_is_the_mean_log_odds_of_the_first_word():
    asked = frame(0.5)
    asked["p_refusal"] = 1 / (1 + np.exp(-np.linspace(-2, 6, len(asked))))
    (row,) = margins.margin_table(asked).itertuples()
    assert row.value == pytest.approx(2.0) and row.low < 2.0 < row.high
    assert row.clusters == asked["thing"].nunique()


def test_taught_things_and_benign_requests_have_no_say():
    asked = frame(0.9)
    others = requests().query("benchmark in ('benign', 'unseen_phrasing')")
    mixed = pd.concat([asked, others.assign(p_refusal=0.0, cluster=others["thing"])])
    assert margins.margin_table(mixed)["value"].item() == pytest.approx(np.log(9))


def test_certainty_stays_finite():
    assert np.isfinite(margins.margin_table(frame(1.0))["value"].item())


def test_every_kind_is_measured_on_every_base(study, kinds):
    before = margins.before_rows(study, kinds)
    assert set(before["arm"]) == {"base", *VARIANTS}
    cells = before.groupby("metric")["base"].agg(set)
    assert all(bases == {1, 2} for bases in cells)
    asked = answers(study, [kinds["deep"][2]])[0]
    row = before.query("arm == 'deep' and base == 2 and metric == 'margin'")["value"].item()
    assert row == pytest.approx(margins.margin_table(asked)["value"].item())
    assert before["condition"].str.startswith("prefill").any()


def test_runs_after_the_attack_carry_the_margin_that_their_kind_had(study, kinds):
    before = margins.before_rows(study, kinds)
    found = margins.attacked_rows(study, kinds, CHOSEN, ["full", "full_tokenwise"], before)
    assert set(found["kind"]) == set(kinds) and set(found["arm"]) == {"base", *ARMS}
    had = before[before["metric"] == "margin"].groupby("arm")["value"].mean()
    for kind, rows in found.groupby("kind"):
        assert rows["margin"].unique() == pytest.approx([had[kind]], abs=0.006)
