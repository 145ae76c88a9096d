"""Profiles: what ships is valid, what is wrong is refused with advice."""

import re

import pytest
import yaml

from lib.errors import InvalidValueError, UnknownNameError
from lib.study import paths
from lib.study.profiles import fields, load_profile, parse_override, profile_names, require_complete

NAMES = ["gpt2", "laptop", "replication", "sandbox", "smoke", "thorough"]


def test_six_profiles_ship():
    assert profile_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_loaded_values_are_those_of_the_file(name):
    written = yaml.safe_load((paths.PROFILES / f"{name}.yaml").read_text())
    loaded = load_profile(name).model_dump()

    def same(found, given):
        if isinstance(given, dict):
            return all(same(found[key], value) for key, value in given.items())
        return found == given

    for section, values in written.items():
        if isinstance(values, dict):
            assert same(loaded[section], values)
        else:
            assert loaded[section] == values


@pytest.mark.parametrize("name", NAMES)
def test_every_number_in_a_profile_has_a_comment(name):
    for line in (paths.PROFILES / f"{name}.yaml").read_text().splitlines():
        if re.match(r"  \w+: ", line):
            assert "# " in line, line


@pytest.mark.parametrize("name", ["smoke", "sandbox", "thorough"])
def test_complete_profiles_pass(name):
    assert require_complete(load_profile(name)) is None


@pytest.mark.parametrize("name", ["gpt2", "laptop", "replication"])
def test_later_profiles_are_refused_and_the_complete_ones_named(name):
    with pytest.raises(InvalidValueError, match="smoke, sandbox or thorough"):
        require_complete(load_profile(name))


def test_seeds_an_arm():
    assert load_profile("sandbox").arm_seeds == 3
    assert load_profile("thorough").arm_seeds >= 5
    assert load_profile("thorough").evaluation.items > load_profile("sandbox").evaluation.items


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
        ("name", "choose one of"),
    ],
)
def test_unknown_override_is_refused_with_the_nearest_name(name, advice):
    with pytest.raises(UnknownNameError, match=advice):
        load_profile("sandbox", {name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("finetune.rank", 0),
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


def test_hub_model_takes_no_sizes_and_no_pretraining():
    with pytest.raises(InvalidValueError, match="hub_id"):
        load_profile("gpt2", {"model.hidden": 64})
    with pytest.raises(InvalidValueError, match="pretrain"):
        load_profile("gpt2", {"pretrain.steps": 5})


@pytest.mark.parametrize(
    ("text", "value"),
    [("a.b=8", 8), ("a.b=3e-3", 0.003), ("a.b=[0, 0.5]", [0, 0.5]), ("a.b=float32", "float32")],
)
def test_command_line_values_are_typed(text, value):
    assert parse_override(text) == ("a.b", value)


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
        parse_override(text)


def test_profile_is_immutable():
    with pytest.raises(ValueError, match="frozen"):
        load_profile("smoke").seed = 3
