"""Control samples: four sentences that differ where they should, checked against StereoSet."""

import pytest
from benchmark_data import needs

from lib.measures.benchmarks import crows_pairs, pikuliak2023, stereoset

pytestmark = needs("pikuliak2023", "stereoset", "crows_pairs")
FOUR = pikuliak2023.FOUR


def differing(one, other):
    a, b = one.split(), other.split()
    return [(x, y) for x, y in zip(a, b, strict=True) if x != y]


@pytest.fixture(scope="module")
def swaps():
    return pikuliak2023.gender_swaps()


def test_sizes(swaps):
    assert len(swaps) == 251 and len(pikuliak2023.gender_swaps(filtered=True)) == 147
    assert len(pikuliak2023.crows_controls("negation")) == 66
    assert len(pikuliak2023.crows_controls("antistereotype")) == 65


def test_stereotype_and_its_contrary_differ_in_one_attribute(swaps):
    one = [len(differing(r.stereo, r.anti)) for r in swaps.itertuples()]
    same = [differing(r.stereo, r.anti) == differing(r.control_stereo, r.control_anti)
            for r in swaps.itertuples()]
    assert sum(n == 1 for n in one) / len(one) > 0.95 and sum(same) / len(same) > 0.95


def test_first_sentences_are_items_of_stereoset_with_the_right_label(swaps):
    items = stereoset.intrasentence().query("split == 'dev'")
    known = set(zip(items["stereotype"], items["antistereotype"], strict=True))
    pairs = list(zip(swaps["stereo"], swaps["anti"], strict=True))
    right = sum(pair in known for pair in pairs)
    turned = sum(pair[::-1] in known for pair in pairs)
    # Typing errors of the source were mended, so that not every text is found again.
    assert right > 150 and turned == 0


def test_marks_of_the_source_are_gone(swaps):
    assert not swaps[FOUR].apply(lambda column: column.str.contains("[<>]")).any().any()


def test_filtered_items_are_a_part_of_all(swaps):
    kept = pikuliak2023.gender_swaps(filtered=True)
    both = set(map(tuple, kept[FOUR].to_numpy())) & set(map(tuple, swaps[FOUR].to_numpy()))
    assert len(both) > 130


@pytest.mark.parametrize("kind", ["negation", "antistereotype"])
def test_controls_of_crows_pairs_begin_with_a_pair_of_it(kind):
    controls = pikuliak2023.crows_controls(kind)
    pairs = crows_pairs.revised_pairs("gender")
    known = set(zip(pairs["sent_more"], pairs["sent_less"], strict=True))
    assert all((r.stereo, r.anti) in known for r in controls.itertuples())
    assert controls["item"].is_unique and (controls["stereo"] != controls["control_stereo"]).all()
