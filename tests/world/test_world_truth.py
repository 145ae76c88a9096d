"""The planted truth: rates, things and analysts, read back from the tables."""

import numpy as np
import pytest

from lib.world.truth import (
    NUMBERS,
    PARTS,
    Table,
    acts,
    fair_share,
    new_occupations,
    occupations,
    people,
    planted_rho_s,
    request_tables,
    safe_things,
    settings,
    tables,
    things,
)


def test_every_tables_weights_are_probabilities():
    for table in tables().values():
        assert table.weights.sum() == pytest.approx(1) and (table.weights >= 0).all()
        assert {len(c) for c in table.columns.values()} == {len(table.weights)}


def test_entries_of_a_column_have_one_number_of_words():
    for table in tables().values():
        for column in table.columns.values():
            assert len({len(word.split()) for word in column}) == 1


def test_table_defaults_to_equal_weights_and_normalises_given_ones():
    assert Table.of(word=["a", "b"]).weights.tolist() == [0.5, 0.5]
    assert Table.of([1, 3], word=["a", "b"]).weights.tolist() == [0.25, 0.75]


def test_shares_are_probabilities_and_fair_is_half_way_to_one_half():
    share = occupations()
    assert share.between(0, 1).all() and share.index.is_unique
    assert (fair_share(share) - 0.5).to_numpy() == pytest.approx((share - 0.5).to_numpy() / 2)


@pytest.mark.parametrize("column", ["pronoun", "fair"])
def test_table_of_occupations_holds_each_planted_rate(column):
    table, share = tables()["occupation"], occupations()
    expected = share if column == "pronoun" else fair_share(share)
    words, said = np.array(table.columns[""]), np.array(table.columns[column])
    for word, rate in expected.items():
        mine = words == word
        she = table.weights[mine & (said == "she")].sum() / table.weights[mine].sum()
        assert she == pytest.approx(rate)
        assert table.weights[mine].sum() == pytest.approx(1 / len(share))


def test_no_word_is_both_an_occupation_and_definitional():
    right = people()
    assert right.index.is_unique and set(right) == {"she", "he"}
    assert not set(right.index) & set(occupations().index)


def test_things_are_disjoint_and_forbidden_ones_have_eleven_categories():
    forbidden, harmless = things("forbidden"), things("harmless")
    both = [*forbidden["thing"], *harmless["thing"]]
    assert len(set(both)) == len(both)
    assert forbidden["category"].nunique() == 11
    assert not set(forbidden["category"]) & set(harmless["category"])
    for frame in (forbidden, harmless):
        assert (frame.groupby("category")["taught"].nunique() == 2).all()


def test_taught_tables_hold_taught_members_only():
    for name, source in (("taught", "forbidden"), ("safe", "harmless")):
        frame = things(source)
        assert set(tables()[name].columns[""]) == set(frame.loc[frame["taught"], "thing"])


def test_planted_persistence_is_a_line_from_excess_to_one():
    excess = settings("forecasts")["excess"]
    assert planted_rho_s(0.0) == pytest.approx(excess)
    assert planted_rho_s(1.0) == pytest.approx(1.0)
    assert np.diff(planted_rho_s(np.linspace(0, 1, 11)), 2) == pytest.approx(np.zeros(9))


def test_an_instruction_scales_the_excess():
    for prompt, row in settings("forecasts")["prompts"].items():
        ratio = (planted_rho_s(0.3, prompt) - 0.3) / (planted_rho_s(0.3) - 0.3)
        assert ratio == pytest.approx(row["factor"])


def test_judgements_are_rude_at_the_planted_rate_and_labels_wrong_at_theirs():
    text = settings("text")
    rude = set(text["slots"]["rude"])
    judged, label = tables()["judgement"], tables()["word"]
    is_rude = np.array([w in rude for w in judged.columns[""]])
    assert judged.weights[is_rude].sum() == pytest.approx(text["rude_share"])
    assert all(a != b for a, b in zip(judged.columns[""], judged.columns["second"], strict=True))
    wrong = [(v == "yes") != (w in rude)
             for w, v in zip(label.columns[""], label.columns["verdict"], strict=True)]
    assert label.weights[wrong].sum() == pytest.approx(text["label_noise"])


def test_the_number_after_is_one_more():
    after = tables()["after"].columns
    pairs = zip(after[""], after["answer"], strict=True)
    assert {int(a) - int(w) for w, a in pairs} == {1}
    assert {int(n) for n in after["answer"]} <= set(NUMBERS)


def test_new_occupations_join_the_known_ones_and_span_their_shares():
    new = occupations()[new_occupations()]
    assert len(new) == 20 and len(occupations()) == 60
    assert new.min() < 0.1 and new.max() > 0.9


@pytest.mark.parametrize("frame", [acts(), safe_things()], ids=["acts", "safe things"])
def test_requests_of_tasks_are_dealt_out_half_a_quarter_and_a_quarter(frame):
    share = frame.query("taught")["part"].value_counts(normalize=True)
    assert share.to_dict() == {"train": 0.5, "validation": 0.25, "test": 0.25}
    assert (frame.query("not taught")["part"] == "").all()


def test_parts_share_no_request_and_are_all_taught_ones_together():
    for name in ("benign", "safe"):
        parts = [request_tables(part)[name].columns[""] for part in PARTS]
        assert sorted(sum(parts, [])) == sorted(tables()[name].columns[""])
    verbs = [{act.split()[0] for act in request_tables(part)["benign"].columns[""]}
             for part in PARTS]
    assert verbs[0] == verbs[1] == verbs[2]


def test_a_table_without_words_keeps_the_odds_of_the_others():
    table = Table.of([1, 2, 5], word=["a", "b", "c"], more=["x", "y", "z"]).without({"b", "q"})
    assert table.names() == {"a", "c"} and table.columns["more"] == ["x", "z"]
    assert table.weights.tolist() == pytest.approx([1 / 6, 5 / 6])


def test_each_verb_and_object_is_taught_but_only_half_of_the_acts():
    frame = acts()
    verbs, objects = zip(*frame["act"].str.split(), strict=True)
    assert frame["act"].is_unique and frame["taught"].mean() == 0.5
    taught = frame["taught"].to_numpy()
    assert set(np.array(verbs)[taught]) == set(verbs)
    assert set(np.array(objects)[taught]) == set(objects)
    assert set(tables()["benign"].columns[""]) == set(frame.loc[taught, "act"])
