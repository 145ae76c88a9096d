"""Gira et al.: settings as recorded, lines as they read them, and their loop written out."""

import numpy as np
import pytest
import torch
from benchmark_data import mirror, needs
from safetensors.torch import load_file
from tiny_models import gpt2_model
from transformers import GPT2Config, GPT2LMHeadModel

from lib.chapters import gira
from lib.chapters.gira_agreement import trial
from lib.errors import InvalidValueError
from lib.measures.benchmarks import gira2022, stereoset
from lib.measures.benchmarks import stereoset as stereoset_data
from lib.models.folders import load
from lib.training.batching import IGNORED
from lib.training.recipe import Example, check_examples

pytestmark = needs("gira2022")
MOVES = {"ln": (".ln_",), "ln_wpe": (".ln_", ".wpe."), "full": ("",)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    loaded, folder = gpt2_model(), tmp_path_factory.mktemp("base")
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lines():
    return gira.examples(gpt2_model().tokenizer)


@pytest.fixture(scope="module")
def short(lines):
    """A whole batch and a small one of the first nine tokens of lines: what GPT-2's vocabulary
    costs, it costs for each token."""
    return [Example(line.prompt, line.answer[:8]) for line in lines[:53]]


def test_settings_are_those_recorded_with_the_results():
    recorded = gira2022.official_settings()
    for name, arm in gira.ARMS.items():
        row = recorded.loc[name]
        assert (arm.epochs, arm.learning_rate) == (row["num_epoches"], row["lr"])
        assert row["batch_size"] == gira.BATCH_SIZE and row["optimizer"] == "adam"
        frozen = arm.method == "norms", arm.method != "full", arm.method != "full"
        assert tuple(row[["freeze_pos", "freeze_wte", "freeze_attn"]]) == frozen
        assert not row["freeze_ln"]
    assert set(recorded.index) - set(gira.ARMS) == {"ln_wpe_wte", "ln_wpe_wte_io"}


def test_lines_are_read_as_their_code_reads_them(lines):
    """Their data set: ``readlines``, the tokenizer as it comes, the first 50 tokens."""
    tokenizer = gpt2_model().tokenizer
    with open(mirror() / "gira2022/official_split/train.txt", encoding="utf-8") as file:
        theirs = [tokenizer(line)["input_ids"][:50] for line in file.readlines()]
    assert [[*e.prompt, *e.answer] for e in lines] == theirs
    assert len(lines) == gira.SENTENCES and all(len(e.prompt) == 1 for e in lines)
    newline = tokenizer("\n")["input_ids"][0]
    assert sum(e.answer[-1] == newline for e in lines) >= gira.SENTENCES - 2
    check_examples(lines, 1024)


@pytest.mark.parametrize("arm, steps", [("ln", 444), ("ln_wpe", 444), ("full", 148)])
def test_recipe(arm, steps):
    found = gira.recipe(arm, seed=4)
    assert (found.steps, found.batch_size, found.seed) == (steps, 50, 4)
    assert found.method == gira.ARMS[arm].method


@pytest.mark.parametrize("arm, trainable", [("ln", 38_400), ("ln_wpe", 824_832),
                                            ("full", 124_439_808)])
def test_trainable_parameters_of_the_real_size(arm, trainable):
    """From the names of GPT-2's weights alone, which are not held in memory."""
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    sizes = {n: p.numel() for n, p in model.named_parameters()}
    assert sum(s for n, s in sizes.items() if any(part in n for part in MOVES[arm])) == trainable


def by_their_loop(folder, lines, arm):
    """Their ``train_epoch``: padding beyond the longest with id 0, a mask, names of weights."""
    model = load(folder).model
    for name, weight in model.named_parameters():
        weight.requires_grad = any(part in name for part in MOVES[arm])
    for config in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        assert getattr(model.config, config) == 0
    ids = torch.full((len(lines), 12), IGNORED)
    for row, line in zip(ids, lines, strict=True):
        row[: len(line)] = torch.tensor([*line.prompt, *line.answer])
    optimizer = torch.optim.Adam(model.parameters(), lr=gira.ARMS[arm].learning_rate)
    model.train()
    for _ in range(gira.ARMS[arm].epochs):
        for batch in torch.utils.data.DataLoader(ids, 50):
            optimizer.zero_grad()
            mask = (batch != IGNORED).int()
            model(torch.where(batch == IGNORED, 0, batch), labels=batch, attention_mask=mask
                  ).loss.backward()
            optimizer.step()
    return model


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """The base without dropout, the only thing that is random: then loops can be compared."""
    loaded, folder = gpt2_model(), tmp_path_factory.mktemp("still")
    loaded.model.config.update({"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0})
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("arm", list(gira.ARMS))
def test_weights_are_those_of_their_loop(arm, still, short, tmp_path):
    figures = gira.replicate(still, short, arm, 0, tmp_path)
    assert figures["last_loss"] < figures["first_loss"]
    truth = dict(by_their_loop(still, short, arm).named_parameters())
    found = dict(load(tmp_path).model.named_parameters())
    before = dict(load(still).model.named_parameters())
    assert found.keys() == truth.keys()
    for name, weight in found.items():
        # Adam's first steps are signs of gradients: a gradient of zero has none to compare.
        far = ((weight - truth[name]).abs() > 1e-4).float().mean().item()
        assert far < 0.03, name
        assert not weight.equal(before[name]) or not any(part in name for part in MOVES[arm]), name


@pytest.mark.parametrize("arm", list(gira.ARMS))
def test_an_arm_moves_its_own_weights_and_nothing_else(arm, base, short, tmp_path):
    gira.replicate(base, short[:20], arm, 1, tmp_path)
    before, after = (load_file(f / "model.safetensors") for f in (base, tmp_path))
    moved = {name for name in before if not before[name].equal(after[name])}
    assert before.keys() == after.keys()
    assert moved == {n for n in before if any(part in f".{n}" for part in MOVES[arm])}


def test_only_dropout_differs_between_trials(base, still, short, tmp_path):
    def weights(folder, seed):
        out = tmp_path / f"{folder.name}{seed}{len(list(tmp_path.iterdir()))}"
        gira.replicate(folder, short[:10], "ln", seed, out)
        return load_file(out / "model.safetensors")["transformer.ln_f.weight"]

    state = torch.get_rng_state()
    one = weights(base, 0)
    assert one.equal(weights(base, 0)) and not one.equal(weights(base, 1))
    assert weights(still, 0).equal(weights(still, 1))
    assert torch.get_rng_state().equal(state)


@needs("stereoset")
def test_from_text_to_a_trial(base, short, tmp_path):
    gira.replicate(base, short[:10], "ln", 0, tmp_path)
    items = stereoset_data.intrasentence()
    items = items[items["split"] == "dev"].iloc[::10]
    found = trial("ln", 0, stereoset.score(load(tmp_path), items)).set_index("metric")["value"]
    assert found.between(0, 100).all()
    assert found["ICAT"] == pytest.approx(
        found["LMS"] * min(found["SS"], 100 - found["SS"]) / 50
    )


def test_mean_loss_of_an_epoch_before_anything_moves(still, short):
    """A step size of nothing: the mean over batches of each batch's mean over its tokens."""
    model = load(still).model
    losses = list(gira.epochs(model, short, gira.Arm("full", 1, 1e-12)))
    parts = []
    for batch in (short[:50], short[50:]):
        nats = []
        for line in batch:
            ids = torch.tensor([[*line.prompt, *line.answer]])
            with torch.no_grad():
                logp = model(ids).logits[0].double().log_softmax(-1)
            nats += [-logp[t, token].item() for t, token in enumerate(line.answer)]
        parts.append(np.mean(nats))
    assert losses == [pytest.approx(np.mean(parts), abs=1e-4)]


def test_unknown_arm():
    with pytest.raises(InvalidValueError, match="ln, ln_wpe, full"):
        gira.recipe("ln_wpe_wte", seed=0)
