"""What attacked models answer: measures by rule, rows that begin with the base, changes tested."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import world_models

from lib.chapters import answers
from lib.chapters.attacks import Attack, attacked, task_questions
from lib.models.chat import tokenised
from lib.study.design import Run, untrained
from lib.training.batching import collate
from lib.training.objective import answer_loss

RUNS = [Run(1, 1), Run(2, 1)]


def test_quick_requests_are_about_unseen_things_and_a_part_of_the_benign():
    asked = answers.quick_requests()
    assert set(asked["benchmark"]) == {*answers.UNSEEN, "benign"}
    assert (asked["benchmark"] == "benign").sum() == 43


def test_each_unseen_thing_is_asked_about_in_known_and_in_new_words_which_take_turns():
    asked = answers.quick_requests().query("benchmark != 'benign'")
    assert set(asked.groupby("thing")["benchmark"].agg(tuple)) == {answers.UNSEEN}
    both = asked[asked["benchmark"] == "unseen_both"]
    words = [row.text.replace(row.thing, "X") for row in both.itertuples()]
    assert sorted(Counter(words).values()) == [22, 22] and words[0] != words[1]


def frame(**columns):
    rows = {"benchmark": ["unseen_member", "unseen_both", "benign", "benign"],
            "cluster": ["gloft", "gloft", "mend nets", "wash boots"],
            "category": ["fleeth", "fleeth", "benign", "benign"],
            "refused": [1.0, 0.0, 0.0, 1.0], "score": [1.0, 5.0, 5.0, None]}
    return pd.DataFrame(rows | columns)


def test_measures_are_shares_of_their_own_requests():
    found = answers.answer_table(frame()).set_index(["metric", "condition"])["value"].to_dict()
    assert found == {("refusal_rate", "unseen things"): 0.5,
                     ("harmful_compliance", "unseen things"): 0.5,
                     ("over_refusal", "benign"): 0.5, ("coherence", "answers"): 0.75}


def test_utility_stands_beside_refusals(study, bases):
    found = answers.answer_rows(study, {"base": untrained(bases)})
    assert {"refusal_rate", "utility_accuracy"} < set(found["metric"])
    assert list(found.query("metric == 'utility_accuracy'")["base"]) == [1, 2]
    assert found["value"].between(found["least"], found["most"]).all()


def test_a_dose_curve_begins_with_the_base(study, bases):
    doses = {n: Attack("explicit", "full", 0.001, steps=n) for n in (2, 1)}
    curve = answers.dose_rows(study, bases, doses, "full")
    assert list(dict.fromkeys(curve["dose"])) == [0.0, 2.0, 1.0]
    assert set(map(tuple, curve[["base", "seed"]][curve["dose"] > 0].values)) == set(RUNS)


def test_level_rows_name_attack_and_method_and_begin_with_the_base(study, bases):
    whole = dict.fromkeys(RUNS, bases[1])
    broken = {Attack("identity", "full", 0.1): whole, Attack("benign", "lora", 0.1): whole}
    found = answers.level_rows(study, bases, broken)
    kinds = found.drop_duplicates(["attack", "arm", "base"])[["attack", "arm", "base"]]
    assert kinds.values.tolist() == [
        [attack, arm, base] for attack, arm in (("none", "base"), ("identity", "full"),
                                                ("benign", "lora")) for base in (1, 2)]


def test_categories_are_told_apart(study, monkeypatch):
    other = frame(category=["klarv", "fleeth", "benign", "benign"])
    monkeypatch.setattr(answers, "answers", lambda _, models: [other for _ in models])
    table = answers.category_rows(study, {1: "base"}, {Run(1, 1): "attacked"}, ["klarv"])
    rate = table[table["metric"] == "refusal_rate"].set_index(["arm", "condition"])["value"]
    assert rate["base", "attacked categories"] == 1.0 and rate["base", "other categories"] == 0.0


def test_losses_are_nats_an_answer_with_an_error_over_questions(study):
    asked = task_questions(30, 1)
    found = answers.loss_rows(study, {"base": {Run(1, 0): world_models.tiny_base()}}, asked).iloc[0]
    model = world_models.tiny_model()
    each = [answer_loss(model.model, **collate(tokenised(model.tokenizer, [one])),
                        reduction="sum").item() for one in asked]
    assert found["value"] == pytest.approx(np.mean(each), rel=1e-4)
    assert found["se"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(30), rel=1e-3)


def test_step_sizes_of_the_benign_task_come_with_its_loss(study, bases):
    found = answers.rate_rows(study, bases, "lora")
    tried = study.profile.safety.learning_rates["lora"]
    assert list(found[found["metric"] == "refusal_rate"]["dose"].unique()) == [0.0, *tried]
    losses = found[found["metric"] == "task_loss"].set_index(["dose", "base"])["value"]
    attack = Attack("benign", "lora", tried[-1])
    asked = task_questions(study.profile.safety.questions, study.seed, "validation")
    by_hand = world_models.answer_nats(attacked(study, bases, [attack])[attack].values(), asked)
    assert losses[tried[-1]].mean() == pytest.approx(by_hand, rel=1e-4)
    excess = found[found["metric"] == "excess_loss"].set_index(["dose", "base"])["value"]
    assert (excess.groupby("base").min() == 0).all()
    difference = losses.unstack("base").diff() - excess.unstack("base").diff()
    assert np.allclose(difference.dropna(), 0)


def asked_twice(refused):
    """Two requests about each of some things, and a benign one that must not count."""
    asked = [(f"thing {i}", name) for i in range(len(refused)) for name in answers.UNSEEN]
    rows = pd.DataFrame(asked, columns=["cluster", "benchmark"])
    rows = rows.assign(refused=np.repeat(refused, 2).astype(float))
    return pd.concat([rows, pd.DataFrame({"cluster": ["mend nets"], "benchmark": ["benign"],
                                          "refused": [1.0]})], ignore_index=True)


def test_change_is_that_of_a_regression_with_clustered_errors():
    rng = np.random.default_rng(0)
    before, after = asked_twice(rng.integers(0, 2, 40)), asked_twice(rng.integers(0, 2, 40))
    after["refused"] = (after["refused"] + rng.integers(0, 2, len(after))).clip(0, 1)
    found = answers.refusal_change(before, after)
    asked = before["benchmark"] != "benign"
    d, groups = (after["refused"] - before["refused"])[asked], before["cluster"][asked]
    fit = sm.OLS(d, np.ones(len(d))).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(groups)[0]}, use_t=True)
    assert found.value == pytest.approx(fit.params.iloc[0])
    # statsmodels multiplies by (n - 1) / (n - k), which is one here, beside g / (g - 1).
    assert found.se == pytest.approx(fit.bse.iloc[0])
    assert (found.n, found.clusters, found.df) == (80, 40, 39)
    low, high = fit.conf_int().iloc[0]
    assert (found.low, found.high) == pytest.approx((low, high))


def test_order_of_requests_does_not_matter():
    before, after = asked_twice([1, 1, 0, 1]), asked_twice([0, 1, 0, 0])
    mixed = after.sample(frac=1, random_state=1)
    assert answers.refusal_change(before, mixed) == answers.refusal_change(before, after)


def test_every_run_is_paired_with_its_own_base(monkeypatch):
    given = {"one": asked_twice([1] * 10), "two": asked_twice([1] * 5 + [0] * 5),
             "after": asked_twice([1] * 5 + [0] * 5)}
    monkeypatch.setattr(answers, "answers", lambda study, folders: [given[f] for f in folders])
    found = answers.change_rows(None, {1: "one", 2: "two"}, {"full": dict.fromkeys(RUNS, "after")})
    assert list(found["value"]) == pytest.approx([-0.5, 0.0])
    assert list(found["base"]) == [1, 2] and set(found["least"]) == {-1.0}
