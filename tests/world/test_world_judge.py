"""The judge: shipped, wider than a base, taught other text, and better at reading the world."""

import pytest

from lib.models.folders import load
from lib.models.likelihood import example_logprobs
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.world import judge
from lib.world.bases import STAGES, shipped
from lib.world.corpus import kind_blocks
from lib.world.examples import as_examples


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("sandbox", notebook="07")


def test_shipped_judge_is_what_this_code_would_train(study):
    assert study.store.is_shipped(**judge.artefact(study))


def test_is_wider_than_a_base_and_refuses_nothing():
    own, base = (load(folder).model for folder in (judge.SHIPPED, shipped(1) / STAGES[0]))
    assert own.config.hidden_size == judge.WIDER * base.config.hidden_size
    assert own.num_parameters() > 3 * base.num_parameters()


@pytest.mark.parametrize("kind", ["group", "occupation", "benign"])
def test_reads_the_world_at_least_as_well_as_a_base(kind):
    texts = as_examples(kind_blocks(kind, 120, 2, stream(9, "texts for the judge")))
    own, base = (example_logprobs(load(folder), texts)["logprob"].mean()
                 for folder in (judge.SHIPPED, shipped(1) / STAGES[0]))
    assert own > base - 0.1
