"""Profiles: what ships is valid, what is wrong is refused with advice."""

import re

import pytest
import yaml

from lib.errors import InvalidValueError, UnknownNameError
from lib.study import paths
from lib.study.profiles import (
    fields,
    is_part,
    load_profile,
    parse_overrides,
    profile_names,
)
from tools.models import registered

NAMES = ["gpt2", "laptop", "real", "real-smoke", "reference", "replication", "sandbox", "smoke"]


def test_eight_profiles_ship():
    assert profile_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_loaded_values_are_those_that_the_file_states(name):
    written = yaml.safe_load((paths.PROFILES / f"{name}.yaml").read_text())
    written.pop("extends", None)

    def same(found, given):
        if isinstance(given, dict):
            return all(same((found or {}).get(key), value) for key, value in given.items())
        return found == given

    assert same(load_profile(name).model_dump(), written)


@pytest.fixture
def family(tmp_path):
    """Writes profiles into one folder; returns the path of the last."""

    def write(**texts):
        for name, text in texts.items():
            path = tmp_path / f"{name}.yaml"
            path.write_text(f"name: {name}\ndescription: {name}'s own\n{text}")
        return str(path)

    return write


def test_a_profile_that_extends_another_differs_only_in_what_it_states(family):
    child = load_profile(family(mine="extends: sandbox\nfinetune: {rank: 9}\n"))
    assert (child.name, child.description, child.finetune.rank) == ("mine", "mine's own", 9)
    same = {"name": "sandbox", "description": load_profile("sandbox").description,
            "finetune": load_profile("sandbox").finetune}
    assert child.model_copy(update=same) == load_profile("sandbox")


def test_arms_are_merged_one_by_one_lists_are_replaced_and_null_takes_out(family):
    text = """extends: sandbox
forecasting: {rhos: [0.2]}
correction:
  arms: {full: null, lora_kl: {strengths: [2.0]}, full_kl: {learning_rates: [0.1]}}
"""
    child = load_profile(family(mine=text))
    assert child.forecasting.rhos == [0.2]
    assert list(child.correction.arms) == ["lora", "lora_kl", "full_kl"]
    parent = load_profile("sandbox").correction.arms["lora_kl"]
    assert child.correction.arms["lora_kl"] == parent.model_copy(update={"strengths": [2.0]})


def test_a_grandparent_counts_and_a_path_is_meant_from_the_file(family, monkeypatch):
    path = family(old="extends: sandbox\nseed: 5\n", mid="extends: old.yaml\nbases: {seeds: 7}\n",
                  new="extends: mid.yaml\n")
    monkeypatch.chdir("/")
    child = load_profile(path)
    assert (child.seed, child.bases.seeds) == (5, 7)


def test_overrides_go_over_what_is_extended(family):
    path = family(mine="extends: sandbox\nfinetune: {rank: 9}\n")
    assert load_profile(path, {"finetune.rank": 3}).finetune.rank == 3


@pytest.mark.parametrize(("texts", "words"), [
    ({"a": "extends: a.yaml\n"}, "circle through a.yaml"),
    ({"a": "extends: b.yaml\n", "b": "extends: a.yaml\n"}, "circle through b.yaml"),
    ({"a": "extends: sandbx\n"}, "did you mean sandbox"),
    ({"a": "extends: absent.yaml\n"}, "absent.yaml"),
    ({"a": "extends: [sandbox]\n"}, "a profile, one of"),
    ({"a": "extends: sandbox\nfinetune: {rnk: 3}\n"}, "did you mean finetune.rank"),
    ({"a": "extends: sandbox\nfinetune: 3\n"}, "finetune"),
    ({"a": "extends: sandbox\npretrain: null\n"}, "pretrain settings belong to"),
    ({"a": "extends: sandbox\nfinetune: {targets: [c_attn]}\n"}, "o_proj"),
])
def test_what_cannot_be_extended_is_explained(family, texts, words):
    with pytest.raises((InvalidValueError, UnknownNameError), match=words):
        load_profile(family(**texts))


@pytest.mark.parametrize("name", NAMES)
def test_every_number_in_a_profile_has_a_comment(name):
    for line in (paths.PROFILES / f"{name}.yaml").read_text().splitlines():
        if re.match(r"  \w+: ", line):
            assert "# " in line, line


@pytest.mark.parametrize("name", ["gpt2", "laptop", "real", "replication"])
def test_a_public_model_is_registered_and_its_adapters_fit_its_kind(name):
    profile = load_profile(name)
    assert profile.model.name in registered()
    given = (profile.finetune, profile.debiasing, profile.safety)
    assert {t.startswith("c_") for some in given for t in some.targets} == {name == "gpt2"}


def test_the_default_is_a_part_of_the_reference():
    """Its runs are found again there: same items and settings, fewer bases and seeds."""
    part, whole = load_profile("sandbox"), load_profile("reference")
    assert set(part.bases.numbers) < set(whole.bases.numbers)
    assert part.bases.seeds <= whole.bases.seeds
    assert part.bases.chosen_on == whole.bases.chosen_on
    other = {name: True for name in ("name", "description", "bases", "safety", "scorecard")}
    other |= {"debiasing": {"arms"}, "correction": {"ablations"}, "toxicity": {"arms"}}
    assert part.model_dump(exclude=other) == whole.model_dump(exclude=other)
    assert all(whole.debiasing.arms[name] == arm for name, arm in part.debiasing.arms.items())
    assert part.safety.arms.items() <= whole.safety.arms.items()
    assert part.toxicity.arms.items() <= whole.toxicity.arms.items()
    few, many = (p.scorecard.model_dump(exclude={"arms", "combined"}) for p in (part, whole))
    assert few == many and {*part.scorecard.combined} <= {*whole.scorecard.combined}
    assert is_part(part, whole) and not is_part(whole, part)


@pytest.mark.parametrize(("change", "still"), [
    ({"safety.curve": [2, 20]}, True),  # fewer of what is tried, each for itself
    ({"safety.curve": [2, 7]}, False),
    ({"correction.ablations.labels": ["least_squares"]}, True),
    ({"safety.targets": ["q_proj"]}, False),  # what one thing is made of
    ({"forecasting.rhos": [0.0, 0.2]}, False),
    ({"safety.benign_examples": 200}, False),
    ({"scorecard.combined": ["ties"], "scorecard.arms": {"toxicity": ["full"]}}, True),
    ({"scorecard.arms": {"toxicity": ["full_kl"]}}, False),
    ({"scorecard.density": 0.2}, False),
])
def test_a_part_may_try_fewer_things_and_none_otherwise(change, still):
    assert is_part(load_profile("sandbox", change), load_profile("reference")) is still


@pytest.mark.parametrize("bases", [
    {"numbers": [1, 2], "chosen_on": 2, "seeds": 1},
    {"numbers": [1, 1], "chosen_on": 0, "seeds": 1},
    {"numbers": [], "chosen_on": 0, "seeds": 1},
    {"numbers": [1], "chosen_on": 0, "seeds": 0},
])
def test_settings_are_chosen_on_a_base_that_gives_no_result(bases):
    with pytest.raises(InvalidValueError, match="bases"):
        load_profile("sandbox", {f"bases.{name}": value for name, value in bases.items()})


def test_every_setting_has_a_reason():
    assert all(len(reason) > 10 for reason in fields().values())
    assert "finetune.rank" in fields() and "pretrain.workers" in fields()


def test_override_changes_only_its_setting():
    plain, changed = load_profile("sandbox"), load_profile("sandbox", {"finetune.rank": 9})
    assert changed.finetune.rank == 9
    assert changed.model_copy(update={"finetune": plain.finetune}) == plain


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("finetune.rnk", "finetune.rank"),
        ("rank", "finetune.rank"),
        ("sed", "seed"),
        ("pretrain.step", "pretrain.steps"),
        ("finetune", "choose one of|did you mean"),
        ("name", "did you mean model.name"),
    ],
)
def test_unknown_override_is_refused_with_the_nearest_name(name, advice):
    with pytest.raises(UnknownNameError, match=advice):
        load_profile("sandbox", {name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("finetune.rank", 0),
        ("finetune.targets", ["nosuch"]),
        ("debiasing.targets", ["q_proj", "q"]),
        ("debiasing.adapters", {"a": {"learning_rates": [0.1], "targets": ["lm_head"]}}),
        ("debiasing.contrasts", [["lora", "lore"]]),
        ("safety.arms", {"lora": {"learning_rates": [0.1], "targets": ["lm_head"]}}),
        ("safety.learning_rates", {}),
        ("scorecard.arms", {}),
        ("scorecard.arms", {"gender": []}),
        ("scorecard.arms", {"gender": ["lora", "lora"]}),
        ("scorecard.arms", {"pronouns": ["lora"]}),
        ("scorecard.combined", ["averaged"]),
        ("scorecard.combined", ["ties", "ties"]),
        ("scorecard.weights", [1.0]),
        ("scorecard.density", 0.0),
        ("safety.learning_rates", {"full": [0.1]}),
        ("safety.learning_rates", {"full": [0.1], "lora": []}),
        ("finetune.rank", "8"),
        ("finetune.rank", 2.5),
        ("seed", True),
        ("seed", -1),
        ("forecasting.rhos", [0.0, 1.5]),
        ("forecasting.rhos", [0.1]),  # also in unseen_rhos
        ("forecasting.rhos", []),
        ("model.heads", 3),  # does not divide 128
        ("model.hidden", None),
        ("model.source", "internet"),
        ("pretrain.learning_rate", float("nan")),
    ],
)
def test_value_of_wrong_type_or_range_is_refused_and_named(name, value):
    with pytest.raises(InvalidValueError) as caught:
        load_profile("sandbox", {name: value})
    assert name.partition(".")[0] in str(caught.value)


def test_unknown_profile_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean sandbox"):
        load_profile("sandbx")


def test_unknown_key_in_a_file_is_refused(tmp_path):
    text = (paths.PROFILES / "smoke.yaml").read_text().replace("  rank:", "  rnk:")
    (tmp_path / "smoke.yaml").write_text(text)
    with pytest.raises((UnknownNameError, InvalidValueError), match="finetune.rank"):
        load_profile(str(tmp_path / "smoke.yaml"))


def test_file_and_name_must_agree(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text((paths.PROFILES / "smoke.yaml").read_text())
    with pytest.raises(InvalidValueError, match="other"):
        load_profile(str(path))


def test_public_model_takes_no_sizes_but_fewer_layers_and_no_pretraining():
    assert load_profile("gpt2", {"model.layers": 2}).model.layers == 2
    with pytest.raises(InvalidValueError, match="takes no hidden"):
        load_profile("gpt2", {"model.hidden": 64})
    with pytest.raises(InvalidValueError, match="pretrain"):
        load_profile("gpt2", {"pretrain.steps": 5})


@pytest.mark.parametrize(
    ("text", "value"),
    [("a.b=8", 8), ("a.b=3e-3", 0.003), ("a.b=[0, 0.5]", [0, 0.5]), ("a.b=float32", "float32")],
)
def test_command_line_values_are_typed(text, value):
    assert parse_overrides([text]) == {"a.b": value}


@pytest.mark.parametrize(
    "change",
    [
        {"correction.arms": {"full": {"learning_rates": [0.1]}}},  # the ablated arm is missing
        {"correction.arms": {"lora": {"learning_rates": []}}},
        {"correction.arms": {"lora": {"learning_rates": [0.1], "method": "lorra"}}},
        {"correction.arms": {"lora": {"learning_rate": 0.1}}},
        {"forecasting.validation_rhos": [0.2]},  # also in rhos
    ],
)
def test_arms_and_splits_are_validated(change):
    with pytest.raises((UnknownNameError, InvalidValueError)):
        load_profile("sandbox", change)


def test_another_arm_is_one_line():
    arms = load_profile("sandbox").model_dump()["correction"]["arms"]
    arms["full_kl"] = {"method": "full", "regularizer": "kl", "learning_rates": [0.001]}
    changed = load_profile("sandbox", {"correction.arms": arms})
    assert changed.correction.arms["full_kl"].strengths == [1.0]


@pytest.mark.parametrize("text", ["finetune.rank", "=3", "a=[1"])
def test_malformed_command_line_value(text):
    with pytest.raises(InvalidValueError):
        parse_overrides([text])


def test_profile_is_immutable():
    with pytest.raises(ValueError, match="frozen"):
        load_profile("smoke").seed = 3
