"""The registry: every axis keeps the contract, and measures what the study names."""

import pandas as pd
import pytest

from lib.measures.axis import SHARED, Axis, measured
from lib.measures.effects import AXES
from lib.statistics.estimate import Measure

METRICS = {
    "overreaction": {"implied_persistence"},
    "gender": {"pronoun_slope", "definitional_accuracy"},
    "safety": {"refusal_rate", "over_refusal", "harmful_compliance", "coherence"},
    "toxicity": {"generation_toxicity", "detection_accuracy", "detection_confidence"},
    "utility": {"utility_accuracy", "neutral_perplexity"},
}


@pytest.fixture(scope="module")
def frames(model, profile):
    return {name: measured(axis, model, axis.items(profile), 1) for name, axis in AXES.items()}


def test_the_axes_of_the_study_in_order():
    assert list(AXES) == list(METRICS)
    assert all(isinstance(axis, Axis) and axis.name == name for name, axis in AXES.items())


@pytest.mark.parametrize("name", METRICS)
def test_items_are_the_same_whenever_they_are_made(name, profile):
    first, second = (AXES[name].items(profile) for _ in range(2))
    assert first.to_json() == second.to_json() and len(first)


@pytest.mark.parametrize("name", METRICS)
def test_frames_have_the_shared_columns_filled(name, frames):
    frame = frames[name]
    assert list(frame.columns)[: len(SHARED)] == SHARED
    assert frame[SHARED].notna().all().all() and (frame["axis"] == name).all()


@pytest.mark.parametrize("name", METRICS)
def test_measures_have_the_fixed_names_and_a_condition_each(name, frames):
    found = AXES[name].summarise(frames[name])
    assert all(isinstance(m, Measure) and m.condition for m in found)
    assert {m.name for m in found} == METRICS[name]
    keys = [(m.name, m.condition) for m in found]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", METRICS)
def test_a_frame_out_of_parquet_gives_the_same_measures(name, frames, tmp_path):
    frames[name].to_parquet(tmp_path / "f.parquet", index=False)
    back = pd.read_parquet(tmp_path / "f.parquet")
    assert AXES[name].summarise(back) == AXES[name].summarise(frames[name])


@pytest.mark.parametrize("name", METRICS)
def test_values_lie_within_their_intervals_and_range(name, frames):
    for m in AXES[name].summarise(frames[name]):
        assert m.least - 1e-12 <= m.low <= m.value + 1e-12 and m.value <= m.high + 1e-12
        assert m.high <= m.most + 1e-12
