"""Styles: words without digits, numbers that read back, typing errors that are named."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting.instructions import styles
from lib.forecasting.instructions.styles import Style, content, plain, read_styles

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
STYLES = {style.name: style for style in read_styles()}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_words_hold_no_digit(style):
    words = [style.user, style.system or "", style.item, *style.when]
    assert not re.search(r"\d", "".join(words))


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("horizon", [1, 2])
def test_question_holds_the_numbers_in_order_and_asks_for_its_horizon(style, horizon):
    history = [style.means[0], style.means[0] + 3, style.means[0] - 1]
    text = plain(style.question(history, horizon))
    assert [float(n) for n in NUMBER.findall(text)] == history
    # "tomorrow" is part of "the day after tomorrow": the longer words must not be there too.
    assert style.when[horizon - 1] in text
    if horizon == 1:
        assert style.when[1] not in text
    assert "{" not in text and "  " not in text


def test_every_group_has_styles_for_all_splits_and_one_for_the_test():
    groups = {group: [s.held_out for s in STYLES.values() if s.group == group]
              for group in ("prices", "returns", "units", "story", "chat")}
    assert all(set(flags) == {True, False} for flags in groups.values())
    assert sum(map(len, groups.values())) == len(STYLES)


def test_no_wording_is_in_two_styles():
    assert len({style.user for style in STYLES.values()}) == len(STYLES)


def test_only_chats_have_a_system_text():
    for style in STYLES.values():
        roles = [message["role"] for message in style.question([1.0], 1)]
        assert roles == (["system", "user"] if style.group == "chat" else ["user"])


def test_styles_without_those_held_out():
    kept = {style.name for style in read_styles(held_out=False)}
    assert kept == {name for name, style in STYLES.items() if not style.held_out}


@pytest.mark.parametrize(("name", "decimals"), [("wool_price", 0), ("fund_return", 2),
                                                ("river_level", 0), ("air_temperature", 1)])
def test_units_have_their_format(name, decimals):
    style = STYLES[name]
    assert re.fullmatch(r"-?\d+" + (rf"\.\d{{{decimals}}}" if decimals else ""), style.number(2.5))


@pytest.mark.parametrize(("value", "decimals", "text"), [
    (-0.004, 2, "0.00"), (-0.4, 0, "0"), (0.5, 0, "0"), (1.5, 0, "2"), (-1.5, 0, "-2"),
    (3, 2, "3.00"), (99.999, 2, "100.00"), (-12.34, 1, "-12.3"), (1234.0, 0, "1234"),
])
def test_numbers_are_rounded_half_to_even_without_negative_zero(value, decimals, text):
    style = STYLES["wool_price"].model_copy(update={"decimals": decimals})
    assert style.number(value) == text


@given(st.floats(-1e5, 1e5), st.sampled_from(list(STYLES.values())))
def test_number_reads_back_as_the_nearest_that_can_be_shown(value, style):
    text = style.number(value)
    assert abs(float(text) - value) <= 0.5 * 10.0**-style.decimals + 1e-9
    assert style.number(float(text)) == text


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_rounding_is_small_and_the_range_is_far(style):
    # Rounding adds a variance of tick^2 / 12: at most 1/300 of the innovations' here.
    assert 10.0**-style.decimals <= min(style.sigmas) / 5
    # Three standard deviations of a random walk over 25 periods, the training stretch of the
    # longest profile, are 15 sigma: hardly a series is drawn anew.
    reach = 16 * max(style.sigmas)
    assert style.low <= min(style.means) - reach and max(style.means) + reach <= style.high


@pytest.mark.parametrize(("key", "value", "named"), [
    ("decimal", 2, "decimal"), ("group", "poems", "group"), ("when", ["soon"], "when"),
    ("low", "little", "low"), ("user", None, "user"),
])
def test_wrong_key_is_named(monkeypatch, key, value, named):
    changed = copy.deepcopy(content())
    changed["styles"]["river_level"][key] = value
    monkeypatch.setattr(styles, "content", lambda: changed)
    with pytest.raises(InvalidValueError, match=f"valid {named} of style river_level"):
        read_styles()


def test_style_is_immutable():
    with pytest.raises(Exception, match="frozen"):
        STYLES["wool_price"].decimals = 3
    assert isinstance(STYLES["wool_price"], Style)
