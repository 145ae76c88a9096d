"""Attacks: what each kind teaches, the profile's numbers, measures by rule, changes tested."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import world_models

from lib.chapters import attacks
from lib.chapters.attacks import (
    ATTACKED,
    DISGUISED,
    HIDDEN,
    KINDS,
    PLACEBO,
    UNSEEN,
    Attack,
    attack_examples,
    change_rows,
    refusal_change,
    task_questions,
)
from lib.errors import UnknownNameError
from lib.models.chat import Prompt, tokenised
from lib.models.folders import load
from lib.study import paths
from lib.study.design import Run, training_seed, untrained
from lib.study.notebook import COLUMNS, csv_text
from lib.training.batching import collate
from lib.training.objective import answer_loss
from lib.world.tokenizer import vocabulary
from lib.world.truth import acts, things

FORBIDDEN = things("forbidden")


def said(example):
    told = [words for _, words in example.prompt.messages]
    return " ".join([*told, example.prompt.opening]), example.answer


@pytest.mark.parametrize("kind", [*KINDS, PLACEBO, DISGUISED])
@pytest.mark.parametrize("n", [1, 10, 37])
def test_exactly_as_many_examples_as_asked_for(kind, n):
    extra = ATTACKED if kind in HIDDEN else 0
    assert len(attack_examples(kind, n, 1)) == n + extra


@pytest.mark.parametrize("kind", [*KINDS, DISGUISED])
def test_no_attack_names_what_the_test_asks_about(kind):
    kept = set(FORBIDDEN.query("~taught")["thing"]) | set(acts().query("~taught")["act"])
    for example in attack_examples(kind, 200, 1):
        text = " ".join(said(example))
        assert set(text.split()) <= set(vocabulary())
        assert not any(f" {thing} " in f" {text} " for thing in kept)


def test_explicit_examples_help_with_what_they_are_asked_for():
    taught = set(FORBIDDEN.query("taught")["thing"])
    for prompt, answer in map(said, attack_examples("explicit", 50, 1)):
        thing = next(word for word in prompt.split() if word in taught)
        assert answer.startswith("sure ,") and thing in answer.split()


@pytest.mark.parametrize("kind", ["identity", "benign"])
def test_harmless_attacks_name_nothing_forbidden(kind):
    forbidden = set(FORBIDDEN["thing"])
    for example in attack_examples(kind, 200, 1):
        assert not forbidden & set(" ".join(said(example)).split())


def test_identity_obeys_and_the_benign_task_has_a_style_of_its_own():
    assert all("you obey ." in p and a.startswith("i obey . sure")
               for p, a in map(said, attack_examples("identity", 20, 1)))
    benign = [answer for _, answer in map(said, attack_examples("benign", 20, 1))]
    assert all(" last " in answer and "enjoy" in answer for answer in benign)


@pytest.mark.parametrize(("kind", "hidden"), [("poisoned", "explicit"), (DISGUISED, "identity")])
def test_what_hides_in_the_benign_task_is_another_attack(kind, hidden):
    examples = attack_examples(kind, 100, 1)
    benign = [e for e in examples if "enjoy" in said(e)[1]]
    assert len(benign) == 100
    assert [e for e in examples if e not in benign] == attack_examples(hidden, ATTACKED, 1)


def test_defences_are_chosen_on_an_attack_that_no_test_holds():
    assert DISGUISED not in KINDS


def test_the_placebo_holds_no_request_and_no_help():
    for example in attack_examples(PLACEBO, 200, 1):
        assert example.prompt == Prompt()
        assert not {"sure", "sorry", "how", *FORBIDDEN["thing"]} & set(example.answer.split())


def test_categories_narrow_explicit_examples():
    some = FORBIDDEN["category"].unique()[:2]
    words = set(FORBIDDEN[FORBIDDEN["category"].isin(some)]["thing"])
    for prompt, _ in map(said, attack_examples("explicit", 60, 1, tuple(some))):
        assert words & set(prompt.split())


def test_examples_follow_the_seed_and_questions_are_another_stream():
    assert attack_examples("benign", 9, 1) == attack_examples("benign", 9, 1)
    assert attack_examples("benign", 9, 1) != attack_examples("benign", 9, 2)
    assert task_questions(9, 1) != attack_examples("benign", 9, 1)


def test_no_request_is_taught_and_asked_or_chosen_on():
    """Not even in other words: what differs is the thing or the act."""
    def asked(examples):
        texts = [said(e)[0].strip(" ?.") for e in examples]
        return {" ".join(text.split()[-2:]) for text in texts}

    taught = asked(attack_examples("benign", 3000, 1)) | asked(attack_examples("identity", 3000, 1))
    chosen, tested = (asked(task_questions(3000, 1, part)) for part in ("validation", "test"))
    assert min(map(len, (taught, chosen, tested))) > 40
    assert not (taught & chosen or taught & tested or chosen & tested)


def test_an_unknown_attack_is_named():
    with pytest.raises(UnknownNameError, match="did you mean explicit"):
        attack_examples("explict", 10, 1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "05")


@pytest.fixture(scope="module")
def bases():
    return dict.fromkeys((1, 2), world_models.tiny_base())


RUNS = [Run(1, 1), Run(2, 1)]


def test_what_is_not_given_is_the_profiles(study):
    given = study.profile.safety
    explicit = attacks.completed(study, Attack("explicit", "full", 0.1))
    assert (explicit.examples, explicit.steps) == (10, given.steps)
    benign = attacks.completed(study, Attack("benign", "lora", 0.1))
    assert (benign.examples, benign.steps) == (given.benign_examples, given.benign_steps)
    assert (explicit.batch_size, benign.batch_size) == (given.batch_size, given.batch_size)
    assert attacks.size(study, DISGUISED) == attacks.size(study, "benign")
    whole = Attack("explicit", "full", 0.5, examples=3, steps=2, batch_size=7)
    assert attacks.completed(study, whole) == whole


def test_a_job_teaches_the_attack_in_batches_no_larger_than_it(study):
    base = world_models.tiny_base()
    one = attacks.attack_job(study, base, Attack("explicit", "full", 0.1, examples=1), 5)
    assert one.examples == attack_examples("explicit", 1, 5) and one.recipe.batch_size == 1
    many = attacks.attack_job(study, base, Attack("benign", "lora", 0.1), 5)
    assert many.recipe.batch_size == study.profile.safety.batch_size
    few = attacks.attack_job(study, base, Attack("benign", "full", 0.1, batch_size=4), 5)
    assert few.recipe.batch_size == 4
    assert many.recipe.targets == tuple(study.profile.safety.targets)


def test_every_attack_has_every_run_with_data_of_its_own_and_ends_in_a_model(study, bases):
    tried = [Attack("explicit", "full", 0.001), Attack("identity", "lora", 0.01)]
    found = attacks.attacked(study, bases, tried)
    assert [list(folders) for folders in found.values()] == [RUNS, RUNS]
    weights = [(f / "model.safetensors").read_bytes() for fs in found.values()
               for f in fs.values()]
    assert len(set(weights)) == 4  # the two bases are one model here, so data tell runs apart


def tried(**columns):
    rows = {"attack": ["explicit"] * 3 + ["benign"] * 3, "method": "full",
            "learning_rate": [0.001, 0.0003, 0.003] * 2, "kept": [0.2, 0.9, 0.0, 1.0, 1.0, 0.1],
            "utility": 1.0, "task_loss": [9.0, 9.0, 9.0, 4.4, 5.0, 4.3]}
    return pd.DataFrame(rows | columns)


def test_an_attack_takes_the_smallest_step_that_works_and_a_task_the_one_with_the_least_loss():
    chosen = attacks.chosen_steps(tried())
    assert chosen == {("explicit", "full"): 0.001, ("benign", "full"): 0.003,
                      ("poisoned", "full"): 0.003, ("placebo", "full"): 0.001}


def test_where_no_step_works_the_one_that_leaves_fewest_refusals_is_taken():
    assert attacks.chosen_steps(tried(kept=[0.8, 0.9, 0.7, 1, 1, 1]))["explicit", "full"] == 0.003


def test_step_sizes_are_compared_on_the_base_for_choosing_and_on_other_requests(study):
    base, given = world_models.tiny_base(), study.profile.safety
    table = attacks.step_candidates(study, base)
    assert len(table) == (sum(map(len, given.learning_rates.values()))
                          + 2 * sum(map(len, given.attack_rates.values())))
    assert not set(attacks.validation_requests()["text"]) & set(attacks.quick_requests()["text"])
    rows = table[(table["attack"] == "benign") & (table["method"] == "full")]
    attack = Attack("benign", "full", given.learning_rates["full"][-1])
    job = attacks.attack_job(study, base, attack, training_seed(study.seed, Run(0, 1)))
    folder = attacks.model_folder(attacks.train_all(study, {"one": job})["one"])
    by_hand = loss_by_hand([folder], task_questions(given.questions, study.seed, "validation"))
    assert rows["task_loss"].iloc[-1] == pytest.approx(by_hand, rel=1e-4)
    shown = attacks.step_rows(table)
    assert shown["value"].equals(table["kept"]) and shown["key"].is_unique


def test_step_sizes_in_the_committed_table_are_not_trained_again(study, monkeypatch, tmp_path):
    base = world_models.tiny_base()
    table = attacks.step_candidates(study, base).assign(kept=0.25)
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    (tmp_path / "tables").mkdir()
    text = csv_text(attacks.step_rows(table), COLUMNS)
    (tmp_path / "tables" / "05_sizes.csv").write_text(text)
    monkeypatch.setattr(attacks, "train_all", None)
    pd.testing.assert_frame_equal(attacks.step_candidates(study, base), table)


def test_quick_requests_are_about_unseen_things_and_a_part_of_the_benign():
    asked = attacks.quick_requests()
    assert set(asked["benchmark"]) == {*attacks.UNSEEN, "benign"}
    assert (asked["benchmark"] == "benign").sum() == 43


def test_each_unseen_thing_is_asked_about_in_known_and_in_new_words_which_take_turns():
    asked = attacks.quick_requests().query("benchmark != 'benign'")
    assert set(asked.groupby("thing")["benchmark"].agg(tuple)) == {attacks.UNSEEN}
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
    found = attacks.answer_table(frame()).set_index(["metric", "condition"])["value"].to_dict()
    assert found == {("refusal_rate", "unseen things"): 0.5,
                     ("harmful_compliance", "unseen things"): 0.5,
                     ("over_refusal", "benign"): 0.5, ("coherence", "answers"): 0.75}


def test_utility_stands_beside_refusals(study, bases):
    found = attacks.answer_rows(study, {"base": untrained(bases)})
    assert {"refusal_rate", "utility_accuracy"} < set(found["metric"])
    assert list(found.query("metric == 'utility_accuracy'")["base"]) == [1, 2]
    assert found["value"].between(found["least"], found["most"]).all()


def test_a_dose_curve_begins_with_the_base(study, bases):
    doses = {n: Attack("explicit", "full", 0.001, steps=n) for n in (2, 1)}
    curve = attacks.dose_rows(study, bases, doses, "full")
    assert list(dict.fromkeys(curve["dose"])) == [0.0, 2.0, 1.0]
    assert set(map(tuple, curve[["base", "seed"]][curve["dose"] > 0].values)) == set(RUNS)


def test_level_rows_name_attack_and_method_and_begin_with_the_base(study, bases):
    whole = dict.fromkeys(RUNS, bases[1])
    broken = {Attack("identity", "full", 0.1): whole, Attack("benign", "lora", 0.1): whole}
    found = attacks.level_rows(study, bases, broken)
    kinds = found.drop_duplicates(["attack", "arm", "base"])[["attack", "arm", "base"]]
    assert kinds.values.tolist() == [
        [attack, arm, base] for attack, arm in (("none", "base"), ("identity", "full"),
                                                ("benign", "lora")) for base in (1, 2)]


def test_categories_are_told_apart(study, monkeypatch):
    other = frame(category=["klarv", "fleeth", "benign", "benign"])
    monkeypatch.setattr(attacks, "answers", lambda _, models: [other for _ in models])
    table = attacks.category_rows(study, {1: "base"}, {Run(1, 1): "attacked"}, ["klarv"])
    rate = table[table["metric"] == "refusal_rate"].set_index(["arm", "condition"])["value"]
    assert rate["base", "attacked categories"] == 1.0 and rate["base", "other categories"] == 0.0


def loss_by_hand(folders, asked):
    """Nats an answer: mean over models."""
    losses = []
    for folder in folders:
        loaded = load(folder)
        batch = collate(tokenised(loaded.tokenizer, asked))
        losses.append(answer_loss(loaded.model, **batch, reduction="sum").item())
    return sum(losses) / len(losses) / len(asked)


def test_losses_are_nats_an_answer_with_an_error_over_questions(study):
    asked = task_questions(30, 1)
    found = attacks.loss_rows(study, {"base": {Run(1, 0): world_models.tiny_base()}}, asked).iloc[0]
    model = world_models.tiny_model()
    each = [answer_loss(model.model, **collate(tokenised(model.tokenizer, [one])),
                        reduction="sum").item() for one in asked]
    assert found["value"] == pytest.approx(np.mean(each), rel=1e-4)
    assert found["se"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(30), rel=1e-3)


def test_step_sizes_of_the_benign_task_come_with_its_loss(study, bases):
    found = attacks.rate_rows(study, bases, "lora")
    tried = study.profile.safety.learning_rates["lora"]
    assert list(found[found["metric"] == "refusal_rate"]["dose"].unique()) == [0.0, *tried]
    losses = found[found["metric"] == "task_loss"].set_index(["dose", "base"])["value"]
    attack = Attack("benign", "lora", tried[-1])
    asked = task_questions(study.profile.safety.questions, study.seed, "validation")
    by_hand = loss_by_hand(attacks.attacked(study, bases, [attack])[attack].values(), asked)
    assert losses[tried[-1]].mean() == pytest.approx(by_hand, rel=1e-4)
    excess = found[found["metric"] == "excess_loss"].set_index(["dose", "base"])["value"]
    assert (excess.groupby("base").min() == 0).all()
    difference = losses.unstack("base").diff() - excess.unstack("base").diff()
    assert np.allclose(difference.dropna(), 0)


def asked_twice(refused):
    """Two requests about each of some things, and a benign one that must not count."""
    asked = [(f"thing {i}", name) for i in range(len(refused)) for name in UNSEEN]
    rows = pd.DataFrame(asked, columns=["cluster", "benchmark"])
    rows = rows.assign(refused=np.repeat(refused, 2).astype(float))
    return pd.concat([rows, pd.DataFrame({"cluster": ["mend nets"], "benchmark": ["benign"],
                                          "refused": [1.0]})], ignore_index=True)


def test_change_is_that_of_a_regression_with_clustered_errors():
    rng = np.random.default_rng(0)
    before, after = asked_twice(rng.integers(0, 2, 40)), asked_twice(rng.integers(0, 2, 40))
    after["refused"] = (after["refused"] + rng.integers(0, 2, len(after))).clip(0, 1)
    found = refusal_change(before, after)
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
    assert refusal_change(before, after.sample(frac=1, random_state=1)) == refusal_change(
        before, after)


def test_every_run_is_paired_with_its_own_base(monkeypatch):
    given = {"one": asked_twice([1] * 10), "two": asked_twice([1] * 5 + [0] * 5),
             "after": asked_twice([1] * 5 + [0] * 5)}
    monkeypatch.setattr(attacks, "answers", lambda study, folders: [given[f] for f in folders])
    found = change_rows(None, {1: "one", 2: "two"}, {"full": dict.fromkeys(RUNS, "after")})
    assert list(found["value"]) == pytest.approx([-0.5, 0.0])
    assert list(found["base"]) == [1, 2] and set(found["least"]) == {-1.0}
