"""Memory: what is estimated is what is held, and too much is refused before it is read."""

import pytest
import tiny_models

from lib.errors import InvalidValueError
from lib.models import memory
from lib.models.folders import load, weight_files
from lib.models.memory import free, parameters


@pytest.fixture
def folder(tmp_path):
    model = tiny_models.smollm2_model()
    model.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_parameters_are_counted_without_loading_them(folder):
    assert parameters(weight_files(folder)) == load(folder).model.num_parameters()


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_what_does_not_fit_is_refused_with_the_ways_out(folder, dtype, size, monkeypatch):
    held = load(folder).model.num_parameters() * size
    monkeypatch.setattr(memory, "free", lambda: held + 1)
    assert load(folder, dtype).model.dtype.itemsize == size
    monkeypatch.setattr(memory, "free", lambda: held)
    with pytest.raises(InvalidValueError, match="GB of free memory.*smaller model.*workers to 1"):
        load(folder, dtype)


def test_a_containers_limit_counts(tmp_path):
    whole = free(tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free(tmp_path) == pytest.approx(whole, rel=0.2)
    (tmp_path / "memory.max").write_text("5000\n")
    assert free(tmp_path) == 4000
    (tmp_path / "memory.max").write_text("500\n")
    assert free(tmp_path) == 0
