"""Folders: what was saved is what computes, merged or not; what cannot be trusted is refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import saved_word_model, word_model

from lib.errors import CorruptArtefactError, InvalidValueError, UnsafeWeightsError
from lib.models.chat import Prompt, prompt_ids
from lib.models.folders import load, load_merged, merge_adapter

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


WEIGHTS = "adapter_model.safetensors"


def settings(folder, **changes):
    """Change an adapter's configuration."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def tensors(file, change):
    """Change the tensors of a file."""
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def trained(base, out, added=0, save=False, **config):
    """A random adapter of any kind, saved by peft itself, and its logits."""
    loaded = load(base)
    if added:
        loaded.tokenizer.add_tokens([f"new{i}" for i in range(added)])
        loaded.model.resize_token_embeddings(len(loaded.tokenizer), mean_resizing=False)
        loaded.tokenizer.save_pretrained(out)
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(loaded.model, LoraConfig(
            r=2, task_type="CAUSAL_LM", init_lora_weights=False, **config)).eval()
        for name, weight in model.named_parameters():
            weight.data += 0.1 * torch.randn_like(weight) * ("modules_to_save" in name)
        model.save_pretrained(out, save_embedding_layers=save)
    settings(out, base_model_name_or_path="../base")
    return logits(model)


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
    truth = logits(tuned.model, prompt_ids(tuned.tokenizer, Prompt.chat("next number")))[0, -1]
    plain = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    torch.testing.assert_close(plain, truth, atol=1e-5, rtol=1e-5)


@pytest.fixture
def copied(adapter, base, tmp_path):
    """A copy of the adapter, beside its base, that may be spoilt."""
    shutil.copytree(base, tmp_path / "base")
    return shutil.copytree(adapter, tmp_path / "copied")


@pytest.mark.parametrize("change", [
    lambda held: {},
    lambda held: {key: value for key, value in held.items() if "lora_B" not in key},
    lambda held: {key.replace("q_proj", "x_proj"): value for key, value in held.items()},
    lambda held: held | {"base_model.model.other.lora_A.weight": torch.zeros(2, 2)},
    lambda held: held | {"stray": torch.zeros(1)},
])
def test_an_adapter_whose_tensors_do_not_fit_is_refused(copied, change):
    load(copied)
    tensors(copied / WEIGHTS, change)
    with pytest.raises(CorruptArtefactError, match="weights without|no place for") as error:
        load(copied)
    assert "\n" not in str(error.value)


def test_only_the_adapters_own_file_is_read_and_hashed(copied):
    before = load(copied).fingerprint
    save_file({"stray": torch.zeros(1)}, copied / "zzz.safetensors")
    assert load(copied).fingerprint == before
    tensors(copied / WEIGHTS, lambda held: {key: value * 2 for key, value in held.items()})
    assert load(copied).fingerprint != before


def test_no_decoy_lets_a_pickle_be_read(copied, monkeypatch):
    held = load_file(copied / WEIGHTS)
    (copied / WEIGHTS).rename(copied / "zzz.safetensors")
    torch.save(held, copied / "adapter_model.bin")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    with pytest.raises(UnsafeWeightsError, match="adapter_model.bin"):
        load(copied)


def test_an_adapter_on_itself_or_on_another_is_refused(copied):
    settings(copied, base_model_name_or_path=".")
    with pytest.raises(InvalidValueError, match="full model as the base"):
        load(copied)
    other = shutil.copytree(copied, copied.parent / "other")
    settings(copied, base_model_name_or_path="../other")
    settings(other, base_model_name_or_path="../copied")
    with pytest.raises(InvalidValueError, match="full model as the base"):
        load(copied)


@pytest.mark.parametrize("name", ["Organisation/Model", "/home/someone/else", "", None])
def test_a_base_that_is_not_here_can_be_given(copied, base, name):
    before = load(copied)
    settings(copied, base_model_name_or_path=name)
    with pytest.raises(InvalidValueError, match="the base of the adapter") as error:
        load(copied)
    assert "delete" not in str(error.value) and "BASE" in str(error.value)
    given = load(copied, base=base)
    torch.testing.assert_close(logits(given.model), logits(before.model))
    assert given.fingerprint == before.fingerprint


@pytest.mark.parametrize("config", [
    {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    {"target_modules": ["q_proj", "lm_head"]}, {"target_modules": ["q_proj", "embed_tokens"]},
    {"target_modules": ["q_proj"], "use_dora": True},
    {"target_modules": ["q_proj"], "trainable_token_indices": [6, 7]},
    {"target_modules": ["q_proj"], "added": 3, "save": True},
    {"target_modules": ["q_proj"], "added": 3, "save": True, "modules_to_save": ["embed_tokens"]},
    {"target_modules": ["q_proj"], "added": 3, "save": True, "trainable_token_indices": [6, 220]},
], ids=lambda config: "-".join(list(config)[1:] or config["target_modules"]))
@pytest.mark.filterwarnings("ignore")  # peft's, on tied embeddings
def test_loaded_and_merged_adapters_compute_what_was_trained(base, tmp_path, config):
    shutil.copytree(base, tmp_path / "base")  # whose head and embeddings are tied
    truth = trained(tmp_path / "base", tmp_path / "tuned", **config)
    scale = truth.abs().max().item()
    tuned = load(tmp_path / "tuned")
    torch.testing.assert_close(logits(tuned.model), truth, atol=1e-6 * scale, rtol=1e-6)
    assert len(tuned.tokenizer) == truth.shape[-1]
    merge_adapter(base, tmp_path / "tuned", tmp_path / "merged")
    merged = load(tmp_path / "merged")
    torch.testing.assert_close(logits(merged.model), truth, atol=1e-4 * scale, rtol=1e-4)
    assert len(merged.tokenizer) == truth.shape[-1]
    beside = load_merged(tmp_path / "tuned")
    torch.testing.assert_close(logits(beside.model), truth, atol=1e-4 * scale, rtol=1e-4)
    assert beside.fingerprint == tuned.fingerprint and not hasattr(beside.model, "peft_type")
    assert load_merged(base).fingerprint == load(base).fingerprint


@pytest.mark.parametrize("kept", [None, ["embed_tokens"]])
def test_added_tokens_without_embeddings_or_head_are_refused(base, tmp_path, kept):
    shutil.copytree(base, tmp_path / "base")
    trained(base, tmp_path / "tuned", added=3, target_modules=["q_proj"], modules_to_save=kept)
    with pytest.raises(CorruptArtefactError, match="save_embedding_layers"):
        load(tmp_path / "tuned")


def test_an_adapters_tokenizer_without_a_template_takes_the_bases(copied, base):
    tokenizer = load(base).tokenizer
    template, tokenizer.chat_template = tokenizer.chat_template, None
    tokenizer.save_pretrained(copied)
    assert not (copied / "chat_template.jinja").exists()
    assert load(copied).tokenizer.chat_template == template


def test_sharded_and_tied_weights_load(tmp_path):
    loaded = word_model()
    loaded.model.save_pretrained(tmp_path, max_shard_size="10KB")
    loaded.tokenizer.save_pretrained(tmp_path)
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 3 and not any("lm_head.weight" in load_file(shard) for shard in shards)
    torch.testing.assert_close(logits(load(tmp_path).model), logits(loaded.model))
    shards[0].unlink()
    with pytest.raises(CorruptArtefactError, match=shards[0].name):
        load(tmp_path)


def test_a_model_that_still_wears_an_adapter_is_refused(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "worn")
    name = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    tensors(folder / "model.safetensors", lambda held: held | {name: torch.zeros(2, 32)})
    with pytest.raises(CorruptArtefactError, match="not merged.*merge_and_unload"):
        load(folder)


def test_gguf_is_told_where_to_go(tmp_path):
    (tmp_path / "model.Q4_K_M.gguf").write_bytes(b"GGUF")
    with pytest.raises(InvalidValueError, match="download the safetensors"):
        load(tmp_path)


def test_a_file_is_hashed_once_until_it_changes(base, tmp_path, monkeypatch):
    folder, read = shutil.copytree(base, tmp_path / "copy"), []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: read.append(a) or digest(*a))
    first = load(folder).fingerprint
    assert load(folder).fingerprint == first and len(read) == 1
    weights, times = folder / "model.safetensors", (folder / "model.safetensors").stat()
    tensors(weights, lambda held: {key: value * 2 for key, value in held.items()})
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
    assert load(folder).fingerprint != first and len(read) == 2


def test_apples_gpu_is_left_aside_and_that_is_said(base, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="MPS"):
        assert load(base).device.type == "cpu"
