"""The article's checklist: five steps, each with claims that exist and their verdicts."""

import pytest

from lib.chapters import checklist
from lib.chapters.claims import ABSENT, FAILS, HOLDS, OPEN, claims
from lib.errors import UnknownNameError
from lib.study import paths
from lib.study.notebook import Study, read_table


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", notebook="08")


def test_every_step_of_the_article_has_claims_with_the_committed_verdicts(study):
    found = checklist.checklist(study)
    assert found["step"].nunique() == 5
    assert set(found["reference"]) <= {HOLDS, FAILS, OPEN}  # the book has them all
    assert set(found["real_model"]) <= {HOLDS, FAILS, OPEN, ABSENT}
    known = {claim.says: claim.verdict for claim in claims()}
    assert [known[says] for says in found["claim"]] == found["reference"].tolist()


@pytest.mark.parametrize("figures", [paths.FIGURES, paths.REAL_FIGURES], ids=["planted", "real"])
def test_the_committed_checklist_has_the_verdicts_of_the_committed_runs(study, figures):
    found = checklist.checklist(study)
    committed = read_table(figures / "tables" / "08_checklist.csv")
    assert committed[[*found]].values.tolist() == found.values.tolist()


def test_a_claim_that_does_not_exist_is_named(study, tmp_path, monkeypatch):
    (tmp_path / "checklist.yml").write_text('"a step": ["03_lora_lower"]\n')
    monkeypatch.setattr(paths, "DATA", tmp_path)
    claims()  # kept from before
    with pytest.raises(UnknownNameError, match="did you mean 03_lora_lowers"):
        checklist.checklist(study)
