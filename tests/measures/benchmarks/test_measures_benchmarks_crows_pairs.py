"""CrowS-Pairs: rules for ties, and four definitions each written out by hand."""

from difflib import SequenceMatcher

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from hypothesis import given, settings
from hypothesis import strategies as st
from stories import sentence_tokens, stories, token_logprobs

from lib.errors import InvalidValueError
from lib.measures.benchmarks import crows_pairs
from lib.measures.benchmarks import crows_pairs as data
from lib.measures.benchmarks.crows_pairs import crows_pairs_score

PAIR = ["sent_more", "sent_less"]


def frame(more, less):
    return pd.DataFrame({"sent_more": more, "sent_less": less})


TIED = frame([2.0, 1.0, 1.0, 3.0], [1.0, 2.0, 1.0, 3.0])


@pytest.mark.parametrize("ties, score", [("against", 25), ("half", 50), ("drop", 50)])
def test_rules_for_ties(ties, score):
    assert crows_pairs_score(TIED, ties=ties) == score


def test_published_rule_is_the_default():
    assert crows_pairs_score(TIED) == 25
    # Meade et al. 2022: 149 of 262 gender pairs is 56.87.
    pairs = frame([1.0] * 149 + [0.0] * 113, [0.5] * 262)
    assert round(crows_pairs_score(pairs), 2) == 56.87


pairs = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1)


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_half_makes_the_two_directions_add_to_a_hundred(rows):
    more, less = zip(*rows, strict=True)
    forth, back = (crows_pairs_score(f, "half") for f in (frame(more, less), frame(less, more)))
    assert forth + back == pytest.approx(100)


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_rules_agree_without_ties_and_are_ordered_with_them(rows):
    more, less = map(list, zip(*rows, strict=True))
    against, half = (crows_pairs_score(frame(more, less), t) for t in ("against", "half"))
    assert against <= half
    untied = [(a, b) for a, b in rows if a != b]
    if untied:
        found = frame(*map(list, zip(*untied, strict=True)))
        assert len({crows_pairs_score(found, t) for t in crows_pairs.TIES}) == 1
        assert crows_pairs_score(frame(more, less), "drop") == crows_pairs_score(found)


def test_refusals():
    with pytest.raises(InvalidValueError, match="against, half, drop"):
        crows_pairs_score(TIED, ties="ignore")
    with pytest.raises(InvalidValueError, match="ties only"):
        crows_pairs_score(frame([1.0], [1.0]), ties="drop")
    with pytest.raises(InvalidValueError, match="no column sent_less"):
        crows_pairs_score(TIED[["sent_more"]])
    with pytest.raises(InvalidValueError, match="missing"):
        crows_pairs_score(frame([np.nan], [1.0]))


def test_likelihood_difference():
    assert crows_pairs.likelihood_difference(frame([1.0, -2.0], [3.0, -1.0])) == 1.5


def by_hand(model, definition, pair, name):
    """Each published score of one sentence, from the log-probabilities of its tokens."""
    text = pair[name]
    if definition == "meade2022":
        return sentence_tokens(model, text, "split").mean()
    if definition == "bigscience":  # minus the loss of Hugging Face, the logarithm of perplexity
        return sentence_tokens(model, text, "unscored").mean()
    if definition == "harness":
        return sentence_tokens(model, text, "bos").sum()
    ids = {n: model.tokenizer(pair[n], add_special_tokens=False)["input_ids"] for n in PAIR}
    at = 1 if name == "sent_more" else 3  # of an opcode: where its span of this sentence begins
    equal = [o for o in SequenceMatcher(None, *ids.values()).get_opcodes() if o[0] == "equal"]
    shared = [i for o in equal for i in range(o[at], o[at + 1])]
    found = token_logprobs(model, [model.tokenizer.bos_token_id, *ids[name]])
    return round(found[shared].sum(), 3)


@needs("crows_pairs")
@pytest.mark.parametrize("definition", list(crows_pairs.DEFINITIONS))
def test_definitions_equal_their_formulas(definition):
    model, items = stories(), data.pairs("gender").iloc[::60]
    found = crows_pairs.score(model, items, definition)
    for row, text in zip(found.to_dict("records"), items.to_dict("records"), strict=True):
        rounded = 1.1e-3 if definition == "nangia2020" else 5e-5
        for name in PAIR:
            truth = by_hand(model, definition, text, name)
            assert row[name] == pytest.approx(truth, abs=rounded)


@needs("crows_pairs")
def test_shared_tokens_leave_out_what_differs():
    items = pd.DataFrame({
        "item": [0], "bias_type": ["gender"], "direction": ["stereo"],
        "sent_more": ["The girl was sad."], "sent_less": ["The girl was sad."],
    })
    whole = crows_pairs.score(stories(), items, "harness")
    shared = crows_pairs.score(stories(), items, "nangia2020")
    assert shared["sent_more"].item() == pytest.approx(whole["sent_more"].item(), abs=1e-3)
    other = crows_pairs.score(stories(), items.assign(sent_less=["A dog ate."]), "nangia2020")
    assert other["sent_more"].item() > shared["sent_more"].item()


@needs("crows_pairs")
def test_item_frame():
    items = data.pairs("gender").head(3)
    found = crows_pairs.score(stories(), items)
    assert found["item"].tolist() == items["item"].tolist()
    assert set(found["definition"]) == {"harness"} and set(found["bias_type"]) == {"gender"}


def test_unknown_definition():
    with pytest.raises(InvalidValueError, match="nangia2020, meade2022"):
        crows_pairs.score(None, TIED, "blodgett2021")
