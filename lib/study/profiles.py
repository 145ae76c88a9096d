"""Profiles: one YAML file of settings each, read, overridden and validated.

The settings themselves are defined in `lib.study.settings`, and nowhere else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

from lib.errors import InvalidValueError, UnknownNameError, nearest
from lib.study import paths
from lib.study.settings import (
    CorrectionSettings,
    DebiasingSettings,
    EvaluationSettings,
    FinetuneSettings,
    ForecastSettings,
    ModelSettings,
    PretrainSettings,
    SafetySettings,
    Settings,
)
from lib.study.text import parse_yaml, read_yaml

FIXED = ("name", "description")
"""Fields that identify a profile; they cannot be overridden, since they name its run folder."""


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
    debiasing: DebiasingSettings = Field(description="gender debiasing")
    safety: SafetySettings = Field(description="the safety break and its fix")
    evaluation: EvaluationSettings = Field(description="how much is measured")

    @model_validator(mode="after")
    def _pretrain_only_in_sandbox(self) -> Self:
        if (self.pretrain is not None) != (self.model.source == "sandbox"):
            raise ValueError("pretrain settings belong to model.source sandbox, and only there")
        return self

    @property
    def workers(self) -> int:
        """Processes that train and measure side by side: one for models from the hub."""
        return self.pretrain.workers if self.pretrain else 1


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
