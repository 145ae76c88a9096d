"""Profiles: the only place where the study's settings are defined, read and validated.

A profile is one YAML file in ``profiles/``. Every field below says its unit, its range and why
it exists; unknown keys are refused with the nearest valid name, so that no option is ever
silently ignored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib import paths
from lib.errors import InvalidValueError, UnknownNameError
from lib.names import nearest
from lib.yaml_reader import parse_yaml, read_yaml

Rho = Annotated[float, Field(ge=0, le=1)]
NEEDED_BY_SANDBOX = ("hidden", "layers", "heads")
FIXED = ("name", "description")
"""Fields that identify a profile; they cannot be overridden, since they name its run folder."""


class Settings(BaseModel):
    """Base of all settings: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class ModelSettings(Settings):
    """Which model is studied: one trained here, or one from the model hub."""

    source: Literal["sandbox", "hub"] = Field(
        description="where the base model comes from: trained in the planted world, or the hub"
    )
    hub_id: str | None = Field(None, description="hub repository, owner/name; only for hub models")
    revision: str | None = Field(
        None, description="hub commit or tag that pins the weights; only for hub models"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="number format of the weights; bfloat16 only pays on a GPU"
    )
    hidden: int | None = Field(
        None, ge=8, le=4096, description="width of the residual stream, units; sandbox only"
    )
    layers: int | None = Field(
        None, ge=1, le=48, description="transformer blocks, count; sandbox only"
    )
    heads: int | None = Field(
        None, ge=1, le=64, description="attention heads, count; must divide hidden; sandbox only"
    )

    @model_validator(mode="after")
    def _source_decides_fields(self) -> Self:
        sizes = [getattr(self, name) for name in NEEDED_BY_SANDBOX]
        if self.source == "hub":
            if self.hub_id is None or any(size is not None for size in sizes):
                raise ValueError("source hub needs hub_id and takes no hidden, layers, heads")
        elif None in sizes or self.hub_id is not None or self.revision is not None:
            raise ValueError("source sandbox needs hidden, layers, heads and takes no hub_id")
        elif self.hidden % (2 * self.heads):
            raise ValueError("hidden must be a multiple of 2 * heads: rotary halves each head")
        return self


class PretrainSettings(Settings):
    """How the sandbox base model is trained, then taught to refuse."""

    steps: int = Field(ge=1, le=100_000, description="optimiser steps on the world's text, count")
    batch_size: int = Field(ge=1, le=4096, description="sequences a step; lower it if memory ends")
    learning_rate: float = Field(gt=0, le=0.1, description="peak AdamW step size, per step")
    refusal_steps: int = Field(
        ge=0, le=10_000, description="steps of the separate refusal stage, count; 0 leaves it out"
    )
    refusal_learning_rate: float = Field(
        gt=0, le=0.1, description="step size of the refusal stage, per step; lower, to forget less"
    )
    workers: int = Field(
        ge=1, le=64, description="single-thread training processes, count; about the CPU cores"
    )


class ForecastSettings(Settings):
    """The forecasting task: AR(1) histories shown to the model."""

    history: int = Field(ge=2, le=200, description="past values shown in a prompt, count")
    rhos: list[Rho] = Field(
        min_length=1, description="persistence grid, 0 to 1, that corrections may train on"
    )
    validation_rhos: list[Rho] = Field(
        min_length=1, description="persistence grid, 0 to 1, on which hyper-parameters are chosen"
    )
    unseen_rhos: list[Rho] = Field(
        min_length=1, description="persistence grid, 0 to 1, kept for out-of-sample tests"
    )
    sigma: float = Field(gt=0, le=50, description="innovation sd, in the units of the series")
    series: int = Field(ge=2, le=100_000, description="series per rho, count; the clusters")
    rounds: int = Field(
        ge=2, le=1000, description="forecasts per series, count; two make one revision"
    )

    @model_validator(mode="after")
    def _unseen_is_unseen(self) -> Self:
        grids = [self.rhos, self.validation_rhos, self.unseen_rhos]
        values = [rho for grid in grids for rho in set(grid)]
        if shared := {rho for rho in values if values.count(rho) > 1}:
            raise ValueError(
                f"rhos, validation_rhos and unseen_rhos must not share values, but do: {shared}"
            )
        return self


class FinetuneSettings(Settings):
    """How interventions move weights."""

    rank: int = Field(ge=1, le=512, description="LoRA rank, count; the adapter's width")
    alpha: float = Field(gt=0, le=4096, description="LoRA scale; the update is alpha / rank * BA")
    targets: list[str] = Field(
        min_length=1, description="names of the linear modules that get an adapter"
    )
    steps: int = Field(ge=1, le=100_000, description="optimiser steps, count")
    batch_size: int = Field(ge=1, le=4096, description="examples a step; lower it if memory ends")
    examples: int = Field(ge=1, le=1_000_000, description="distinct training examples, count")


Labels = Literal["rational", "least_squares", "naive", "shuffled"]


class ArmSettings(Settings):
    """One intervention: how weights move, and the candidates tried on validation items."""

    method: Literal["full", "lora"] = Field(
        "lora", description="which weights move: all of them, or low-rank updates"
    )
    regularizer: Literal["none", "kl"] = Field(
        "none", description="what holds the model near its base; kl: divergence on other text"
    )
    learning_rates: list[Annotated[float, Field(gt=0, le=0.1)]] = Field(
        min_length=1, description="candidate peak step sizes; the best on validation items is used"
    )
    strengths: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        [1.0], min_length=1, description="candidate weights of the penalty; only with a regularizer"
    )


class AblationSettings(Settings):
    """One-change variants of the plain LoRA arm: what decides the cure?"""

    seeds: int = Field(ge=1, le=50, description="training seeds a variant, count")
    labels: list[Labels] = Field(description="what is taught instead of rational forecasts")
    rank: list[Annotated[int, Field(ge=1, le=512)]] = Field(description="LoRA ranks, counts")
    targets: list[list[str]] = Field(description="sets of modules that get an adapter")
    examples: list[Annotated[int, Field(ge=1)]] = Field(
        description="distinct training examples, counts: the learning curve"
    )


class CorrectionSettings(Settings):
    """The correction of extrapolation bias: its arms and their ablations."""

    validation_examples: int = Field(
        ge=2, le=100_000, description="questions on which candidates are compared, count"
    )
    arms: dict[str, ArmSettings] = Field(
        min_length=1, description="interventions by arm name; lora is the one that is ablated"
    )
    ablations: AblationSettings = Field(description="variants of the arm lora")

    @model_validator(mode="after")
    def _has_lora(self) -> Self:
        if "lora" not in self.arms:
            raise ValueError("arms must have lora, the arm that the ablations vary")
        return self


class EvaluationSettings(Settings):
    """How much is measured."""

    items: int = Field(
        ge=2, le=100_000, description="items per axis cell, count; intervals shrink as 1/sqrt"
    )


class Profile(Settings):
    """All settings of one run of the study."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]*$", description="file name without .yaml; names the run folder"
    )
    description: str = Field(min_length=1, description="one line: what this profile is for")
    seed: int = Field(ge=0, le=2**31 - 1, description="seed of everything random")
    arm_seeds: int = Field(
        ge=1, le=50, description="training seeds an arm, count; intervals come from them"
    )
    model: ModelSettings = Field(description="the model studied")
    pretrain: PretrainSettings | None = Field(
        None, description="training of the base model; sandbox only"
    )
    forecasting: ForecastSettings = Field(description="the forecasting task")
    finetune: FinetuneSettings = Field(description="how interventions move weights")
    correction: CorrectionSettings = Field(description="the correction of extrapolation bias")
    evaluation: EvaluationSettings = Field(description="how much is measured")

    @model_validator(mode="after")
    def _pretrain_only_in_sandbox(self) -> Self:
        if (self.pretrain is not None) != (self.model.source == "sandbox"):
            raise ValueError("pretrain settings belong to model.source sandbox, and only there")
        return self


def profile_names() -> list[str]:
    """Names of the profiles in ``profiles/``, sorted."""
    return sorted(path.stem for path in paths.PROFILES.glob("*.yaml"))


def load_profile(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read, override and validate a profile.

    Parameters
    ----------
    name_or_path : str
        Name of a file in ``profiles/`` ("sandbox"), or a path that ends in ``.yaml``.
    overrides : mapping, optional
        New values by dotted field name, for example ``{"finetune.rank": 8, "seed": 7}``.

    Raises
    ------
    UnknownNameError
        No such profile, key or override; the message offers the nearest valid name.
    InvalidValueError
        A value of the wrong type or outside its range.
    """
    path = _profile_path(str(name_or_path))
    values = read_yaml(path)
    if values.get("name") != path.stem:
        raise InvalidValueError(
            f"name: {path.stem} in {path.name}, as the file is called",
            f"name: {values.get('name')}",
            "rename the file or the profile",
        )
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, value)
    return _validated(values, path.name)


def parse_override(text: str) -> tuple[str, Any]:
    """Split a command-line ``NAME=VALUE``; the value is read as YAML ("8", "3e-3", "[0, 0.5]")."""
    dotted, equals, value = text.partition("=")
    if not equals or not dotted:
        raise InvalidValueError(
            "a parameter as NAME=VALUE, such as finetune.rank=8", repr(text), "add the missing part"
        )
    return dotted.strip(), parse_yaml(value, f"-p {text}")


def require_complete(profile: Profile) -> None:
    """Refuse profiles whose chapters are not built yet: those on hub models.

    Raises
    ------
    InvalidValueError
        The profile studies a hub model.
    """
    if profile.model.source == "hub":
        raise InvalidValueError(
            "a profile that the notebooks can run: smoke, sandbox or thorough",
            f"{profile.name}, which studies {profile.model.hub_id} and so far is only validated",
            "choose one of the three, for example --profile sandbox",
        )


def fields(model: type[BaseModel] = Profile, prefix: str = "") -> dict[str, str]:
    """Dotted name and description of every single setting, in the order of the YAML files."""
    found: dict[str, str] = {}
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        if section is None:
            found[prefix + name] = info.description or ""
        else:
            found |= fields(section, f"{prefix}{name}.")
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) is dict:  # its keys are the user's: given and overridden as a whole
        return None
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return models[0] if models else None


def _profile_path(name: str) -> Path:
    path = Path(name) if name.endswith(".yaml") else paths.PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise UnknownNameError(
            f"a profile, one of {', '.join(profile_names())}, or a path that ends in .yaml",
            repr(name),
            nearest(name, profile_names()),
        )
    return path


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    valid = [name for name in fields() if name not in FIXED]
    if dotted not in valid:
        raise UnknownNameError("a setting of the profile", repr(dotted), nearest(dotted, valid))
    *sections, last = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def _validated(values: dict[str, Any], source: str) -> Profile:
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _explained(first, source) from None


def _explained(problem: Mapping[str, Any], source: str) -> Exception:
    parts = [str(part) for part in problem["loc"]]
    dotted = ".".join(parts)
    if problem["type"] == "extra_forbidden":
        valid = list(fields()) + [name for name, info in Profile.model_fields.items()
                                  if _section(info.annotation)]
        return UnknownNameError(
            f"only known settings in {source}", repr(dotted), nearest(dotted, valid)
        )
    meaning = fields().get(".".join(p for p in parts if not p.isdigit()), "")
    found = repr(problem["input"])
    if problem["type"] == "missing":
        found = "nothing"
    elif isinstance(problem["input"], dict):
        found = "a combination that does not fit"
    return InvalidValueError(
        f"a valid value of {dotted or 'the profile'}" + (f" ({meaning})" if meaning else ""),
        found,
        f"{problem['msg'].removeprefix('Value error, ')}; mend it in {source} or in the override",
    )
