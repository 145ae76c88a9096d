"""``side-effects guards``: what the shipped guards showed when they were taught."""

from lib.world.guards import made


def test_shipped_guards_are_shown_as_they_were_measured(side_effects, capsys):
    assert side_effects("guards") == 0
    shown = capsys.readouterr().out
    assert all(f"guard {n}" in shown for n in range(4))
    assert "refusal_rate, unseen_both" in shown and "over_refusal, borderline" in shown
    value = {r["condition"]: r["value"] for r in made(1)["shows"]}["unseen_phrasing"]
    assert f"{value:.2f} [" in shown
