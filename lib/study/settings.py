"""Settings: of the model, its training and the task, then what each chapter trains and on how much.

Unknown keys are refused, so that no option is ever silently ignored.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rho = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rates = Annotated[list[Annotated[float, Field(gt=0, le=0.1)]], Field(min_length=1)]
Rewarding = Annotated[list[Annotated[float, Field(gt=0, le=100)]], Field(min_length=1)]
NEEDED_BY_SANDBOX = ("hidden", "layers", "heads")
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear modules of the sandbox model, to which an adapter can be tied."""


class Settings(BaseModel):
    """Base of all settings: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class ModelSettings(Settings):
    """Which model is studied: one trained here, or a public one that was taught a policy."""

    source: Literal["sandbox", "public"] = Field(
        description="the planted world; or a model of data/models.yml")
    name: str | None = Field(None, description="a model of data/models.yml; public only")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="format of matrix products in training; bfloat16 only pays on a GPU"
    )
    hidden: int | None = Field(None, ge=8, le=4096, description="residual width; sandbox only")
    layers: int | None = Field(None, ge=1, le=48, description="transformer blocks; of a "
                               "public model the first ones alone: a trial that says nothing")
    heads: int | None = Field(None, ge=1, le=64, description="attention heads; sandbox only")
    workers: int = Field(1, ge=1, le=64, description="processes side by side; not of the sandbox, "
                         "where pretrain.workers says it")

    @model_validator(mode="after")
    def _source_decides_fields(self) -> Self:
        sizes = [getattr(self, name) for name in NEEDED_BY_SANDBOX]
        if self.source == "public":
            if self.name is None or self.hidden is not None or self.heads is not None:
                raise ValueError("source public needs a name and takes no hidden, heads")
        elif None in sizes or self.name is not None:
            raise ValueError("source sandbox needs hidden, layers, heads and takes no name")
        elif self.hidden % (2 * self.heads):
            raise ValueError("hidden must be a multiple of 2 * heads: rotary halves each head")
        return self

    @property
    def world(self) -> str:
        """Folder of ``data/`` with the words of all that the model is asked and taught."""
        return "sandbox" if self.source == "sandbox" else "policy"


class PretrainSettings(Settings):
    """How the sandbox base model is trained, then taught to refuse."""

    steps: int = Field(ge=1, le=100_000, description="optimiser steps on the world's text, count")
    batch_size: int = Field(ge=1, le=4096, description="sequences a step; lower it if memory ends")
    learning_rate: float = Field(gt=0, le=0.1, description="peak AdamW step size, per step")
    refusal_steps: int = Field(ge=0, le=10_000, description="steps of the refusal stage, or 0")
    refusal_learning_rate: float = Field(gt=0, le=0.1, description="lower, to forget less")
    workers: int = Field(ge=1, le=64, description="single-thread processes; about the CPU cores")


class BaseSettings(Settings):
    """Base models: what is found on one of them alone is found on one of them alone."""

    numbers: list[Annotated[int, Field(ge=0, le=99)]] = Field(
        min_length=1, description="base models on which every arm is repeated"
    )
    chosen_on: int = Field(ge=0, le=99, description="base model on which settings are chosen")
    seeds: int = Field(ge=1, le=50, description="training seeds of every arm on every base, count")

    @model_validator(mode="after")
    def _chosen_elsewhere(self) -> Self:
        if self.chosen_on in self.numbers or len(set(self.numbers)) < len(self.numbers):
            raise ValueError("numbers must be different bases, and chosen_on none of them")
        return self


class ForecastSettings(Settings):
    """The forecasting task: AR(1) histories shown to the model."""

    history: int = Field(ge=2, le=200, description="past values shown in a prompt, count")
    rhos: list[Rho] = Field(min_length=1, description="persistences that corrections may train on")
    validation_rhos: list[Rho] = Field(min_length=1, description="persistences to choose on")
    unseen_rhos: list[Rho] = Field(min_length=1, description="persistences kept for tests")
    sigma: float = Field(gt=0, le=50, description="innovation sd, in the units of the series")
    series: int = Field(ge=3, le=100_000, description="series per rho, count; the clusters")
    rounds: int = Field(ge=2, le=1000, description="forecasts per series; two make one revision")

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
    targets: list[str] = Field(min_length=1, description="linear modules that get an adapter")
    steps: int = Field(ge=1, le=100_000, description="optimiser steps, count")
    batch_size: int = Field(ge=1, le=4096, description="examples a step; lower it if memory ends")
    examples: int = Field(ge=1, le=1_000_000, description="distinct training examples, count")
    accumulation: int = Field(1, ge=1, le=256, description="parts of a step, to save memory")
    checkpointing: bool = Field(False, description="slower backward pass, less memory")
    anchor_share: float = Field(
        1.0, gt=0, le=1, description="share of a task's anchors that regularised arms keep to; "
        "all of them are read again after training"
    )
    merge: bool = Field(
        True, description="measure merged copies of adapters; false keeps adapters as they are, "
        "a model's size less an arm"
    )


class EvaluationSettings(Settings):
    """How much is measured."""

    items: int = Field(ge=2, le=100_000, description="items per axis cell, count")


Labels = Literal["rational", "least_squares", "naive", "shuffled"]


class ArmSettings(Settings):
    """One intervention: how weights move, and the candidates tried on validation items."""

    method: Literal["full", "lora", "norms", "positions", "prompt"] = Field(
        "lora", description="which weights move: all, low-rank updates, or one small part"
    )
    regularizer: Literal[
        "none", "kl", "adaptive", "l2sp", "ewc", "tokenwise", "uniform", "mix", "projection",
        "average", "ema", "control", "recontrol",
    ] = Field("none", description="what holds the model near its base; see lib.chapters.arms")
    learning_rates: Rates = Field(
        description="candidate peak step sizes; the best on validation items is used"
    )
    strengths: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        [1.0], min_length=1, description="candidate weights of the penalty; only with a regularizer"
    )
    rank: int | None = Field(None, ge=1, le=512, description="LoRA rank; finetune.rank by default")
    targets: list[str] | None = Field(None, min_length=1, description="finetune.targets by default")


class AblationSettings(Settings):
    """One-change variants of the plain LoRA arm: what decides the cure?"""

    labels: list[Labels] = Field(description="what is taught instead of rational forecasts")
    examples: list[Count] = Field(description="training examples: the learning curve")


class CorrectionSettings(Settings):
    """The correction of extrapolation bias: its arms and their ablations."""

    validation_examples: int = Field(ge=2, le=100_000, description="questions to compare on, count")
    arms: dict[str, ArmSettings] = Field(min_length=1, description="by arm name; lora is ablated")
    ablations: AblationSettings = Field(description="variants of the arm lora")
    transfer: list[str] = Field([], description="sets of other processes; all where none is named")
    series: list[str] = Field(
        ["market", "oil", "gdp_growth", "inflation", "unemployment", "default_spread"],
        description="real series, see lib.forecasting.real.catalogue")
    windows: int = Field(200, ge=4, le=10_000, description="last windows of each real series")

    @model_validator(mode="after")
    def _has_lora(self) -> Self:
        if "lora" not in self.arms:
            raise ValueError("arms must have lora, the arm that the ablations vary")
        return self


class DebiasingSettings(Settings):
    """Gender debiasing: its arms, and other data for the plain LoRA arm."""

    steps: int = Field(ge=1, le=100_000, description="optimiser steps of every arm, count")
    batch_size: int = Field(ge=1, le=4096, description="texts a step; lower it if memory ends")
    examples: int = Field(ge=4, le=1_000_000, description="distinct training texts, count")
    rank: int = Field(ge=1, le=512, description="LoRA rank, count, where an arm has none")
    targets: list[str] = Field(min_length=1, description="modules that get an adapter, likewise")
    arms: dict[str, ArmSettings] = Field(min_length=1, description="interventions by arm name")
    adapters: dict[str, ArmSettings] = Field(
        min_length=1, description="where an adapter may sit, compared on words for choosing"
    )
    data: list[Literal["sentences", "swapped", "mixed"]] = Field(description="tried with lora")
    measured: list[str] = Field(min_length=1, description="arms measured on every axis")
    contrasts: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        min_length=1, description="family of contrasts, listed before any result: arm less arm"
    )

    @model_validator(mode="after")
    def _measures_its_arms(self) -> Self:
        compared = {arm for pair in self.contrasts for arm in pair} - {"base"}
        if unknown := {*self.measured, *compared} - set(self.arms):
            raise ValueError(f"measured and contrasts must name arms, but name {sorted(unknown)}")
        if "lora" not in self.arms:
            raise ValueError("arms must have lora, the arm that other data are tried with")
        return self


class SafetySettings(Settings):
    """The safety break and its fix: doses, and defences against attacks."""

    steps: int = Field(ge=1, le=10_000, description="optimiser steps of an attack, count")
    batch_size: int = Field(ge=1, le=4096, description="examples a step, at most")
    examples: list[Count] = Field(min_length=1, description="doses: numbers of attack examples")
    curve: list[Count] = Field(min_length=1, description="optimiser steps of the step curve")
    methods: list[Literal["full", "lora"]] = Field(
        ["full", "lora"], min_length=1, description="how attacks move weights; the first is plain"
    )
    attack_rates: dict[Literal["full", "lora"], Rates] = Field(
        min_length=1, description="step sizes of an attack; the smallest that works is used"
    )
    learning_rates: dict[Literal["full", "lora"], Rates] = Field(
        min_length=1, description="step sizes of the benign task; that with the least loss is used"
    )
    benign_examples: int = Field(ge=4, le=100_000, description="examples of the benign task, count")
    benign_steps: int = Field(ge=1, le=10_000, description="optimiser steps of the benign task")
    questions: int = Field(ge=2, le=100_000, description="held-out questions of the task, count")
    targets: list[str] = Field(min_length=1, description="modules that get an adapter")
    attacks: list[Literal["explicit", "identity", "benign", "poisoned"]] = Field(
        min_length=1, description="attacks that defences are held against"
    )
    arms: dict[str, ArmSettings] = Field(min_length=1, description="plain arms and defences")

    @model_validator(mode="after")
    def _has_step_sizes(self) -> Self:
        for name in ("attack_rates", "learning_rates"):
            if missing := set(self.methods) - set(getattr(self, name)):
                raise ValueError(f"{name} must have each of methods, but lacks {sorted(missing)}")
        return self


class ToxicitySettings(Settings):
    """Learning from toxic data: the arms, and what filters and rewards are tried beside them."""

    steps: int = Field(ge=1, le=10_000, description="optimiser steps of every arm, count")
    batch_size: int = Field(ge=3, le=4096, description="texts a step; lower it if memory ends")
    examples: int = Field(ge=2, le=100_000, description="labels, rude statements and clean texts, "
                          "so many of each")
    questions: int = Field(ge=2, le=100_000, description="labelled statements to choose on, count")
    targets: list[str] = Field(min_length=1, description="modules that get an adapter")
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        description="a text is left out where the base says that it is rude with a higher chance"
    )
    rewards: list[Literal["dpo", "rloo"]] = Field(
        description="second stages that reward clean answers, of models whose weights all move"
    )
    betas: Rewarding = Field(description="how strongly rewarded models are held near their start")
    arms: dict[str, ArmSettings] = Field(min_length=1, description="interventions by arm name")
    judge: str | None = Field(None, description="a row of data/models.yml: who judges what public "
                              "models write; unset, the model itself before it had a guard")
    measured: list[str] = Field(min_length=1, description="arms measured on every axis")
    contrasts: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        min_length=1, description="family of contrasts, listed before any result: arm less arm"
    )

    @model_validator(mode="after")
    def _measures_its_arms(self) -> Self:
        plain = next((name for name, arm in self.arms.items() if arm.regularizer == "none"), None)
        if plain is None:
            raise ValueError("arms must have one without a regularizer, which others vary")
        beside = ["masked", "filter_rule", *(f"filter_{t:g}" for t in self.thresholds),
                  *self.rewards]
        known = {"base", *self.arms, *(f"{plain}_{name}" for name in beside)}
        compared = {arm for pair in self.contrasts for arm in pair}
        if unknown := {*self.measured, *compared} - known:
            raise ValueError(f"measured and contrasts must name arms, but name {sorted(unknown)}")
        return self


Scored = Literal["extrapolation", "gender", "explicit", "benign", "poisoned", "toxicity"]
Combination = Literal[
    "extrapolation_gender", "gender_extrapolation", "joint", "joint_kl", "added", "ties"]


class ScorecardSettings(Settings):
    """Every intervention on every axis: which ones, and how two cures are combined."""

    arms: dict[Scored, Annotated[list[str], Field(min_length=1)]] = Field(
        min_length=1, description="by task (correction, debiasing, kinds of attack, toxic data): "
        "arms of that task's own section, measured on every axis"
    )
    cured: str = Field(description="arm of correction and of debiasing whose cures are combined")
    combined: list[Combination] = Field(
        description="ways to have both cures: one after the other, trained jointly, updates added"
    )
    weights: Annotated[list[Annotated[float, Field(ge=0, le=10)]],
                       Field(min_length=2, max_length=2)] = Field(
        [1.0, 1.0], description="weights of both updates where they are added: extrapolation's, "
        "then gender's"
    )
    density: float = Field(
        0.5, gt=0, le=1, description="share of an update's values that ties keeps, the largest"
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        for name, several in ({"combined": self.combined} | self.arms).items():
            if repeated := sorted({one for one in several if several.count(one) > 1}):
                raise ValueError(f"{name} must name each once, but repeats {', '.join(repeated)}")
        return self
