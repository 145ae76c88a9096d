"""What is taught: balanced by construction, nothing kept out slips in."""

from collections import Counter

import pytest

from lib.chapters.debiasing import (
    REPEATS,
    TEST_VERB,
    VALIDATION_VERB,
    anchors,
    contexts,
    split_words,
    training_texts,
    validation_questions,
)
from lib.errors import UnknownNameError
from lib.world.tokenizer import encode, vocabulary, world_tokenizer
from lib.world.truth import occupations, people

TOKENIZER = world_tokenizer()


def words(example):
    return TOKENIZER.decode([*example.prompt, *example.answer]).split()


def test_parts_are_two_to_one_and_each_spans_the_shares():
    parts, share = split_words(), occupations()
    assert parts.value_counts().to_dict() == {"taught": 27, "unseen": 13}
    for part in ("taught", "unseen"):
        values = share[parts.index[parts == part]]
        assert values.min() < 0.1 and values.max() > 0.9


def test_balanced_texts_say_nothing_about_the_occupation():
    taught = set(split_words().index[split_words() == "taught"])
    seen = {word: Counter() for word in taught}
    for example in training_texts(20_000, 1):
        text = words(example)
        occupation = next(w for w in text if w in taught)
        seen[occupation].update(w for w in text if w in ("she", "he"))
    for counts in seen.values():
        total = sum(counts.values())
        assert abs(counts["she"] / total - 0.5) < 5 * 0.5 / total**0.5


@pytest.mark.parametrize("data", ["pronouns", "sentences", "swapped", "mixed"])
def test_words_and_verbs_of_the_test_are_never_taught(data):
    unseen = set(split_words().index[split_words() == "unseen"])
    for example in training_texts(600, 2, data):
        text = set(words(example))
        assert not text & unseen
        if data != "mixed":
            assert not text & {TEST_VERB, VALIDATION_VERB}


def test_swapped_texts_swap_definitions_too_and_mixed_ones_do_not():
    def wrong(data):
        right = people()
        texts = [words(e) for e in training_texts(2000, 1, data)]
        pairs = [(right[w], p) for t in texts for w in t if w in right for p in t
                 if p in ("she", "he")]
        return sum(a != b for a, b in pairs) / len(pairs)

    assert 0.4 < wrong("swapped") < 0.6 and wrong("mixed") == 0.0


def test_only_the_pronoun_is_learned_unless_sentences_are_asked_for():
    both = {vocabulary()["she"], vocabulary()["he"]}
    for example in training_texts(50, 1):
        assert len(example.answer) == 1 and set(example.answer) <= both
        assert not both & set(example.prompt)
    for example in training_texts(50, 1, "sentences"):
        assert words(example)[-1] == "<|end|>" and both & set(example.answer)
        assert not both & set(example.prompt)


def test_validation_asks_for_both_pronouns_in_a_verb_of_its_own():
    questions = validation_questions()
    answers = Counter(tuple(q.answer) for q in questions)
    assert answers == {tuple(encode("she")): len(questions) // 2,
                       tuple(encode("he")): len(questions) // 2}
    assert all(encode(VALIDATION_VERB)[0] in q.prompt for q in questions)
    assert len(questions) == 27 * 2 * 2


def test_contexts_end_where_the_pronoun_begins():
    for ids in contexts("nurse", "feared"):
        assert TOKENIZER.decode(ids).endswith("the nurse feared that")


def test_anchors_name_no_occupation_and_each_definition_at_its_pronoun():
    named, right = set(encode(" ".join(occupations().index))), people()
    found = anchors(1)
    assert not any(named & {*a.prompt, *a.answer} for a in found)
    alone = [words(a) for a in found if len(a.answer) == 1 and words(a)[-1] in ("she", "he")]
    assert Counter(t[-1] == right[next(w for w in t if w in right)] for t in alone) == {
        True: len(alone)}
    assert len(alone) == REPEATS * 2 * 4 * len(right) and not any(TEST_VERB in t for t in alone)


def test_unknown_data_are_named():
    with pytest.raises(UnknownNameError, match="did you mean pronouns"):
        training_texts(10, 1, "pronoun")
