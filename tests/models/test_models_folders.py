import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import mirror, saved_word_model, smollm2_model, word_model, word_tokenizer

from lib.errors import CorruptArtefactError, InvalidValueError, UnsafeWeightsError
from lib.models.folders import chat_ids, load, merge_adapter, save_card

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_word_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def adapter(base):
    """A random adapter beside its base; B is not zero, so it changes the outputs."""
    folder = base.parent / "adapter"
    torch.manual_seed(1)
    config = LoraConfig(
        r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    get_peft_model(load(base).model, config).save_pretrained(folder, save_embedding_layers=False)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "../base"
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def logits(model, ids=(6, 7, 8, 9)):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits


def test_loaded_model_computes_what_was_saved(base):
    torch.testing.assert_close(logits(load(base).model), logits(word_model().model))


def test_fingerprint_follows_the_weights(base, tmp_path):
    again = saved_word_model(tmp_path / "again")
    assert load(again).fingerprint == load(base).fingerprint
    moved = word_model().model
    moved.model.norm.weight.data += 1e-3
    moved.save_pretrained(again)
    assert load(again).fingerprint != load(base).fingerprint


def test_fingerprint_is_sha256_of_the_file_hashes(base):
    weights = (base / "model.safetensors").read_bytes()
    inner = hashlib.sha256(weights).digest()
    assert load(base).fingerprint == hashlib.sha256(inner).hexdigest()


def test_dtype_is_applied_and_checked(base):
    assert load(base, "bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(InvalidValueError, match="float32"):
        load(base, "int4")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_only_are_refused(base, tmp_path, name):
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    torch.save({}, tmp_path / name)
    with pytest.raises(UnsafeWeightsError, match=name):
        load(tmp_path)


def test_missing_folder_and_missing_weights_are_told_apart(tmp_path):
    with pytest.raises(InvalidValueError, match="no folder"):
        load(tmp_path / "absent")
    with pytest.raises(InvalidValueError, match="no weights in"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_truncated_file_is_corrupt(tmp_path, name):
    folder = saved_word_model(tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptArtefactError, match="does not load"):
        load(folder)


def test_weights_that_lack_a_tensor_are_corrupt(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = saved_word_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptArtefactError, match="model.norm.weight"):
        load(folder)


def test_adapter_loads_with_its_base(base, adapter):
    tuned = load(adapter)
    assert not torch.allclose(logits(tuned.model), logits(load(base).model), atol=1e-2)
    assert tuned.fingerprint not in (load(base).fingerprint, load(adapter.parent / "base"))


def test_adapter_without_a_named_base_is_corrupt(adapter, tmp_path):
    for file in adapter.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CorruptArtefactError):
        load(tmp_path)


def test_merged_model_equals_its_adapter(base, adapter, tmp_path):
    merge_adapter(base, adapter, tmp_path)
    torch.testing.assert_close(
        logits(load(tmp_path).model), logits(load(adapter).model), atol=1e-5, rtol=1e-5
    )
    assert not list(tmp_path.glob("adapter*"))


def test_merged_model_loads_in_plain_transformers(base, adapter, tmp_path):
    merge_adapter(base, adapter, tmp_path / "merged")
    script = (
        "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T\n"
        "m, t = M.from_pretrained(sys.argv[1]), T.from_pretrained(sys.argv[1])\n"
        "ids = t.apply_chat_template([{'role': 'user', 'content': 'next number'}],"
        " add_generation_prompt=True, return_tensors='pt', return_dict=True)\n"
        "print(repr(m(**ids).logits[0, -1].tolist())); assert 'lib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "merged"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    tuned = load(adapter)
    truth = logits(tuned.model, chat_ids(tuned.tokenizer, "next number"))[0, -1]
    plain = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    torch.testing.assert_close(plain, truth, atol=1e-5, rtol=1e-5)


def test_chat_ids_equal_the_template():
    tokenizer = smollm2_model().tokenizer
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
    truth = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert chat_ids(tokenizer, "Hi!", system="Be brief.") == truth
    default = tokenizer.apply_chat_template(chat[1:], add_generation_prompt=True)["input_ids"]
    assert chat_ids(tokenizer, "Hi!") == default


def test_chat_ids_end_with_the_answer_so_far():
    tokenizer = word_tokenizer()
    ids = chat_ids(tokenizer, "next number is", system="a b", answer="the 12")
    words = tokenizer.convert_ids_to_tokens(ids)
    assert words == "<sys> a b <user> next number is <bot> the 12".split()


def test_chat_ids_need_a_template():
    tokenizer = load(mirror("stories260K")).tokenizer
    with pytest.raises(InvalidValueError, match="chat template"):
        chat_ids(tokenizer, "hello")


def test_card_replaces_the_old_one(tmp_path):
    save_card(tmp_path, "# Old\nlong text\n")
    save_card(tmp_path, "# Neu – ρ\n\n\n")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "# Neu – ρ\n"
