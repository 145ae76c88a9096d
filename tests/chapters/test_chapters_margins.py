"""Every kind of refusal is measured on every base, and attacked with every arm."""

import numpy as np
import pytest
import world_models

from lib.chapters import margins
from lib.chapters.answers import answers
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


def test_every_kind_is_measured_on_every_base(study, kinds):
    before = margins.before_rows(study, kinds)
    assert set(before["arm"]) == {"base", *VARIANTS}
    cells = before.groupby("metric")["base"].agg(set)
    assert all(bases == {1, 2} for bases in cells)
    asked = answers(study, [kinds["deep"][2]])[0].query("benchmark.str.startswith('unseen')")
    odds = np.log(asked["p_refusal"] / (1 - asked["p_refusal"]))
    row = before.query("arm == 'deep' and base == 2 and metric == 'refusal_margin'")
    assert row["value"].item() == pytest.approx(odds.mean())
    assert before["condition"].str.startswith("prefill").any()


def test_runs_after_the_attack_carry_the_margin_that_their_kind_had(study, kinds):
    before = margins.before_rows(study, kinds)
    found = margins.attacked_rows(study, kinds, CHOSEN, before)
    assert set(found["kind"]) == set(kinds) and set(found["arm"]) == {"base", *ARMS}
    had = before[before["metric"] == "refusal_margin"].groupby("arm")["value"].mean()
    for kind, rows in found.groupby("kind"):
        assert rows["margin"].unique() == pytest.approx([had[kind]], abs=0.06)
