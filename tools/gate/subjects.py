"""The models that a gate compares: found, held against each other, and refused where they differ.

All of this is done before anything is measured: a difference found after an hour is found late.
"""

import copy
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open

from lib.errors import CorruptArtefactError, DownloadError, InvalidValueError, require
from lib.models.chat import start_id
from lib.models.folders import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LoadedModel,
    Tokenizer,
    adapter_base,
    load,
    weight_files,
)
from lib.models.memory import parameters
from lib.models.public import READ
from lib.models.template import chat_format, format_name
from tools.gate.result import Subject
from tools.models import fetch_named, registered


@dataclass(frozen=True)
class Model:
    """A model to be measured: its folder, and the base that an adapter is put on."""

    name: str
    folder: Path
    base: Path
    dtype: str

    @property
    def adapter(self) -> bool:
        """Whether the folder holds an adapter alone."""
        return (self.folder / ADAPTER_CONFIG).exists()

    def load(self) -> LoadedModel:
        """The model; the last one loaded is kept, as it is asked for several axes in a row."""
        return _loaded(self.folder, self.base if self.adapter else None, self.dtype)


@lru_cache(maxsize=1)
def _loaded(folder: Path, base: Path | None, dtype: str) -> LoadedModel:
    return load(folder, dtype, base)


def folder_of(name: str) -> Path:
    """A folder, or that of a registered model or of one of the model hub, fetched if need be."""
    if Path(name).is_dir():
        return Path(name)
    if name in registered():
        return fetch_named(name)
    require(name.count("/") == 1 and not name.startswith((".", "/")),
            "a folder, a name of side-effects model list, or a hub id owner/name", repr(name),
            "correct the path")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import

    try:
        return Path(snapshot_download(name, allow_patterns=READ))
    except Exception as error:  # of the hub's client, of HTTP, of the disk
        raise DownloadError(
            f"{name} on the model hub, or in its cache", " ".join(str(error).split())[-200:],
            "connect and run it again, or give a folder that hf download --local-dir made",
        ) from error


def subjects(names: list[str], dtype: str) -> list[Model]:
    """The models, base first; names are told apart by their parents where folders are alike.

    What is no folder goes by the name that it was given: that of the hub, or of the registry.
    """
    folders = [folder_of(name) for name in names]
    base, *tuned = folders
    require(tuned, "a base and at least one tuned model", "the base alone",
            "name a tuned model's folder after it")
    require(not (base / ADAPTER_CONFIG).exists(), "a whole model as the base",
            f"an adapter, {base}",
            "name the model that it is on; the adapter can be a tuned model")
    for folder in folders:
        weight_files(folder)
    short = [folder.resolve().name if Path(name).is_dir() else name
             for name, folder in zip(names, folders, strict=True)]
    told = ["/".join(folder.resolve().parts[-2:]) if short.count(name) > 1 else name
            for name, folder in zip(short, folders, strict=True)]
    return [Model(name, folder, base, dtype) for name, folder in zip(told, folders, strict=True)]


def checked(models: list[Model]) -> tuple[list[Subject], list[str], pd.DataFrame]:
    """What each model is, notes for the reader, and how far weights moved; or why they differ."""
    base, *tuned = models
    first = base.load()
    _finite(base, first)
    known, notes = [_subject(base, first)], _chat_notes(base, first.tokenizer)
    weights = []
    original = {name: value.detach().clone() for name, value in _tensors(first.model)}
    language, kind = first.tokenizer, first.model.config.model_type
    del first  # one model at a time in memory, and the base's weights
    for model in tuned:
        if model.adapter:
            _on_this_base(model)
        found = model.load()
        _finite(model, found)
        require(found.model.config.model_type == kind, f"a {kind}, as {base.name} is",
                f"the {found.model.config.model_type} {model.name}", "compare it with its own base")
        notes += _same_language(base.name, language, model.name, found.tokenizer)
        known.append(_subject(model, found))
        weights.append({"name": model.name, "rank": _rank(model), "share_trained": _share(model),
                        **_moved(base.name, original, model.name, found)})
    _different(known)
    if known[0].identity in {subject.identity for subject in known[1:]}:
        notes.append(f"{known[1].name} is {known[0].name}: nothing was tuned, and nothing can have "
                     "changed.")
    return known, notes, pd.DataFrame(weights)


def _different(known: list[Subject]) -> None:
    """Refuse one model given as several seeds: no seed tells anything twice."""
    found = [subject.identity for subject in (known if len(known) > 2 else known[1:])]
    require(len(set(found)) == len(found), "different models as seeds of a recipe",
            "one that is given twice, or the base among them", "name each tuned model once")


def _subject(model: Model, loaded: LoadedModel) -> Subject:
    start = loaded.tokenizer.convert_ids_to_tokens(start_id(loaded.tokenizer))
    return Subject(model.name, loaded.fingerprint, start, format_name(loaded.tokenizer),
                   identity(model, loaded))


PASSING = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Settings of a model's configuration that decide nothing it says."""


def identity(model: Model, loaded: LoadedModel) -> str:
    """SHA-256 of all that decides a model's answers: weights, settings, tokenizer, template."""
    config = {name: value for name, value in loaded.model.config.to_dict().items()
              if name not in PASSING}
    made = getattr(loaded.model, "generation_config", None)
    adapter = model.folder / ADAPTER_CONFIG
    parts = [loaded.fingerprint, config, made.to_dict() if made else None,
             _spelling(loaded.tokenizer), loaded.tokenizer.chat_template,
             loaded.tokenizer.special_tokens_map,
             adapter.read_text("utf-8") if adapter.exists() else None]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _spelling(tokenizer: Tokenizer) -> dict[str, Any]:
    """How a tokenizer cuts text: all of a fast one; of another its class and words."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return {"class": type(tokenizer).__name__, "words": tokenizer.get_vocab()}
    return json.loads(fast.to_str())


def _finite(model: Model, loaded: LoadedModel) -> None:
    bad = [name for name, value in _tensors(loaded.model) if not torch.isfinite(value).all()]
    require(not bad, f"numbers in all weights of {model.name}",
            f"NaN or infinity in {', '.join(bad[:3])}" + (" and others" if bad[3:] else ""),
            "the training diverged: lower its step size and tune again", CorruptArtefactError)


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights by name, a tied head under its own, too: another model may have untied it."""
    return ((name, value) for name, value in model.state_dict().items()
            if value.is_floating_point())


def _on_this_base(adapter: Model) -> None:
    """Refuse an adapter that names another model, which would be compared with the wrong one."""
    named = adapter_base(adapter.folder, adapter.base)
    require(named.resolve() == adapter.base.resolve()
            or load(named).fingerprint == load(adapter.base).fingerprint,
            f"an adapter on {adapter.base}", f"{adapter.name}, which is on {named}",
            f"compare it with that one: side-effects gate {named} {adapter.folder}")
    with safe_open(adapter.folder / ADAPTER_WEIGHTS, "pt") as file:
        require(file.keys(), f"weights in the adapter {adapter.name}", "none", "tune it again",
                CorruptArtefactError)


def _chat_notes(model: Model, tokenizer: Tokenizer) -> list[str]:
    told = chat_format(tokenizer)
    notes = {f"{model.name} has no chat template: it is asked in a plain transcript.": not told.own,
             f"{model.name} can think before it answers: that is turned off.": told.thinking}
    return [note for note, holds in notes.items() if holds]


CUTS = ("normalizer", "pre_tokenizer", "post_processor")
"""Parts of a tokenizer that decide how the same text is cut, besides its words."""


def _same_language(
    first: str, before: Tokenizer, second: str, after: Tokenizer
) -> list[str]:
    """Refuse tokenizers that read the same text as other tokens; notes of what only one has."""
    old, new = before.get_vocab(), after.get_vocab()
    moved = [token for token, i in old.items() if new.get(token) != i]
    fix = f"save {first}'s tokenizer into {second}'s folder, if it was tuned with that one"
    require(not moved, f"the vocabulary of {first} in {second}",
            f"{len(moved)} of {len(old)} tokens missing or at other places, such as "
            f"{moved[:1]}", fix, InvalidValueError)
    first_parts, second_parts = _spelling(before), _spelling(after)
    apart = [part for part in CUTS if first_parts.get(part) != second_parts.get(part)]
    require(not apart, f"a tokenizer that cuts text as that of {first}",
            f"another {', '.join(apart)} in {second}", fix)
    for what in ("bos_token", "eos_token"):
        require(getattr(before, what) == getattr(after, what), f"the {what} of {first}, "
                f"{getattr(before, what)!r}", f"{getattr(after, what)!r} in {second}: scores of "
                "texts hang on it", fix)
    chats = [chat_format(t) for t in (before, after)]
    require(chats[0].own == chats[1].own, "a chat template in both models or in neither",
            f"one in {first if chats[0].own else second} alone",
            "copy chat_template.jinja (or the tokenizer's files) from the one to the other")
    notes = []
    if len(new) > len(old):
        notes.append(f"{second} has {len(new) - len(old)} tokens more than {first}.")
    if chats[0].written != chats[1].written:
        notes.append(f"{second} writes chats in another format: a change may be due to that.")
    return notes


def _moved(
    first: str, original: dict[str, torch.Tensor], second: str, tuned: LoadedModel
) -> dict[str, float]:
    """Share of the numbers that changed, and ``|W - W0| / |W0|`` over all of them.

    Rows of a vocabulary that only one has are left out; other shapes are refused.
    """
    after, changed, total, squares = _merged(tuned), 0, 0, [0.0, 0.0]
    other = sorted(original.keys() ^ after.keys()) or [
        name for name, value in original.items() if value.shape[1:] != after[name].shape[1:]
        or (value.shape != after[name].shape and value.dim() < 2)]
    require(not other, f"the weights of {first}, other numbers in them, in {second}",
            f"others: {', '.join(other[:3])}", "compare it with its own base")
    for name, before in original.items():
        rows = slice(min(len(before), len(after[name]))) if before.dim() else ...
        before, now = before[rows], after[name][rows].to(before)
        changed += int((now != before).sum())
        total += before.numel()
        for i, part in enumerate((now - before, before)):
            squares[i] += float((part**2).sum(dtype=torch.float64))
    return {"share_changed": changed / total, "drift": math.sqrt(squares[0] / squares[1])}


def _merged(tuned: LoadedModel) -> dict[str, torch.Tensor]:
    """Weights with an adapter folded in; the model itself stays as it is."""
    model = tuned.model
    if hasattr(model, "merge_and_unload"):
        model = copy.deepcopy(model).merge_and_unload()
    return dict(_tensors(model))


def _share(model: Model) -> float | None:
    """Numbers of an adapter over those of its base; None for a whole model."""
    if not model.adapter:
        return None
    return parameters(weight_files(model.folder)) / parameters(weight_files(model.base))


def _rank(model: Model) -> int | None:
    """Rank of a LoRA adapter."""
    if not model.adapter:
        return None
    return json.loads((model.folder / ADAPTER_CONFIG).read_text("utf-8")).get("r")
