"""``side-effects guards``: what the shipped guards showed when they were taught."""

from lib.world.guards import SHIPPED, adapter_of, made


def test_shipped_guards_are_shown_as_they_were_measured(side_effects, capsys):
    assert side_effects("guards") == 0
    shown = capsys.readouterr().out
    assert all(f"guard {n}" in shown for n in range(4))
    assert "refusal_rate, unseen_both" in shown and "over_refusal, borderline" in shown
    told = {r["condition"]: r["value"] for r in made(adapter_of(SHIPPED, 1))["shows"]}
    value = told["unseen_phrasing"]
    assert f"{value:.2f} [" in shown


def test_where_no_guard_was_taught_the_command_is_named(side_effects, capsys, place, monkeypatch):
    monkeypatch.setenv("STUDY_MODELS", str(place.runs))
    assert side_effects("guards", "--profile", "laptop") == 0
    assert "guards --profile laptop --teach 0" in capsys.readouterr().out
