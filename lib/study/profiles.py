"""Profiles: one YAML file each, of all settings or of what differs from another profile.

``extends: sandbox`` lays a file over another: mappings are merged, everything else replaces, null
takes an entry out. The settings themselves are defined in `lib.study.settings`, and nowhere else.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

from lib.errors import InvalidValueError, UnknownNameError, nearest, require
from lib.study import paths, settings
from lib.study.settings import Settings
from lib.study.text import parse_yaml, read_yaml

FIXED = ("name", "description")
"""Fields that identify a profile; they cannot be overridden, since they name its run folder."""

BESIDE = {"name": True, "description": True, "bases": {"numbers", "seeds"},
          "pretrain": {"workers"}, "model": {"workers"}}
"""What may differ between profiles whose runs are the same."""


class Profile(Settings):
    """All settings of one run of the study."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]*$", description="file name without .yaml; names the run folder"
    )
    description: str = Field(min_length=1, description="one line: what this profile is for")
    seed: int = Field(ge=0, le=2**31 - 1, description="seed of everything random")
    model: settings.ModelSettings = Field(description="the model studied")
    bases: settings.BaseSettings = Field(description="its base models, and seeds of every arm")
    pretrain: settings.PretrainSettings | None = Field(None, description="of a sandbox model")
    forecasting: settings.ForecastSettings = Field(description="the forecasting task")
    finetune: settings.FinetuneSettings = Field(description="how interventions move weights")
    correction: settings.CorrectionSettings = Field(description="extrapolation and its cure")
    debiasing: settings.DebiasingSettings = Field(description="gender debiasing")
    safety: settings.SafetySettings = Field(description="the safety break and its fix")
    toxicity: settings.ToxicitySettings = Field(description="learning from toxic data")
    scorecard: settings.ScorecardSettings = Field(description="every intervention on every axis")
    evaluation: settings.EvaluationSettings = Field(description="how much is measured")

    @model_validator(mode="after")
    def _pretrain_only_in_sandbox(self) -> Self:
        if (self.pretrain is not None) != (self.model.source == "sandbox"):
            raise ValueError("pretrain settings belong to model.source sandbox, and only there")
        return self

    @model_validator(mode="after")
    def _targets_exist(self) -> Self:
        known = settings.MODULES
        for dotted, targets in self._targets() if self.model.source == "sandbox" else ():
            if unknown := set(targets) - set(known):
                raise ValueError(f"{dotted} must name modules of the model, of {', '.join(known)}, "
                                 f"but names {', '.join(sorted(unknown))}")
        return self

    def _targets(self) -> Iterator[tuple[str, list[str]]]:
        """Dotted name and value of every list of modules that get an adapter."""
        for name in ("finetune", "debiasing", "safety", "toxicity"):
            yield f"{name}.targets", getattr(self, name).targets
        for name in ("correction", "debiasing", "safety", "toxicity"):
            for arm, given in getattr(self, name).arms.items():
                yield f"{name}.arms.{arm}.targets", given.targets or []
        for adapter, given in self.debiasing.adapters.items():
            yield f"debiasing.adapters.{adapter}.targets", given.targets or []

    @property
    def workers(self) -> int:
        """Processes that train and measure side by side."""
        return self.pretrain.workers if self.pretrain else self.model.workers


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
    """
    path = _profile_path(str(name_or_path))
    values = _read(path)
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, value)
    return _validated(values, path.name)


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Values by dotted name of ``NAME=VALUE`` texts; a value is YAML ("8", "3e-3", "[0, 0.5]")."""
    found: dict[str, tuple[str, Any]] = {}
    for text in texts:
        dotted, equals, value = (part.strip() for part in text.partition("="))
        require(equals and dotted, "a parameter as NAME=VALUE, such as finetune.rank=8",
                repr(text), "add the missing part")
        earlier = found.get(dotted, ("", None))[0]
        require(not earlier, f"one value of {dotted}", f"-p {earlier} and -p {text}", "drop one")
        found[dotted] = text, parse_yaml(value, f"-p {text}")
    return {dotted: value for dotted, (_, value) in found.items()}


def is_part(part: Profile, whole: Profile) -> bool:
    """Whether every run of one profile is a run of another: its settings, its bases, its arms."""
    runs = [(profile.bases.numbers, profile.bases.seeds) for profile in (part, whole)]
    (few, once), (many, often) = runs
    return (set(few) <= set(many) and once <= often
            and _within(*(p.model_dump(exclude=BESIDE) for p in (part, whole))))


LEVELS = ("labels", "examples", "curve", "attacks", "combined", *get_args(settings.Scored))
"""Lists of things that are tried, each for itself: a part may try fewer."""


def _within(part: Any, whole: Any, name: str = "") -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(k in whole and _within(value, whole[k], k) for k, value in part.items())
    if name in LEVELS and isinstance(part, list):
        return set(part) <= set(whole)
    return part == whole


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


def _profile_path(name: str, folder: Path = Path()) -> Path:
    path = folder / name if name.endswith(".yaml") else paths.PROFILES / f"{name}.yaml"
    known = profile_names()
    require(path.is_file(), f"a profile, one of {', '.join(known)}, or a path that ends in .yaml",
            repr(name), nearest(name, known), UnknownNameError)
    return path


def _read(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Values of a profile's file, laid over those of the profile that it extends."""
    require(path.resolve() not in below, "profiles that extend each other in one direction",
            f"a circle through {path.name}", "change one extends:")
    values = read_yaml(path)
    require(values.get("name") == path.stem,
            f"name: {path.stem} in {path.name}, as the file is called",
            f"name: {values.get('name')}", "rename the file or the profile")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    base = _read(_profile_path(str(parent), path.parent), (*below, path.resolve()))
    return _merged({key: base[key] for key in base if key not in FIXED}, values)


def _merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values` over `base`, section by section; null takes an entry out."""
    merged = dict(base)
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            value = _merged(base[key], value)
        merged[key] = value
    return {key: value for key, value in merged.items() if value is not None}


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    valid = [name for name in fields() if name not in FIXED]
    require(dotted in valid, "a setting of the profile", repr(dotted), nearest(dotted, valid),
            UnknownNameError)
    *sections, last = dotted.split(".")
    for section in sections:
        if not isinstance(values.get(section), dict):
            values[section] = {}
        values = values[section]
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
        return UnknownNameError(f"only known settings in {source}", repr(dotted),
                                nearest(dotted, valid))
    meaning = fields().get(".".join(p for p in parts if not p.isdigit()), "")
    given = repr(problem["input"])
    if isinstance(problem["input"], dict):
        given = "nothing" if problem["type"] == "missing" else "a combination that does not fit"
    return InvalidValueError(
        f"a valid value of {dotted or 'the profile'}" + (f" ({meaning})" if meaning else ""),
        given,
        f"{problem['msg'].removeprefix('Value error, ')}; mend it in {source} or in the override",
    )
