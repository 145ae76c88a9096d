"""Settings of the chapters: which arms they train, and on how much."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lib.settings import Settings

Labels = Literal["rational", "least_squares", "naive", "shuffled"]


class ArmSettings(Settings):
    """One intervention: how weights move, and the candidates tried on validation items."""

    method: Literal["full", "lora", "norms", "positions", "prompt"] = Field(
        "lora", description="which weights move: all, low-rank updates, or one small part"
    )
    regularizer: Literal[
        "none", "kl", "adaptive", "l2sp", "ewc", "tokenwise", "uniform", "mix", "projection",
        "average", "ema",
    ] = Field("none", description="what holds the model near its base; see lib.interventions")
    learning_rates: list[Annotated[float, Field(gt=0, le=0.1)]] = Field(
        min_length=1, description="candidate peak step sizes; the best on validation items is used"
    )
    strengths: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        [1.0], min_length=1, description="candidate weights of the penalty; only with a regularizer"
    )
    rank: int | None = Field(
        None, ge=1, le=512, description="LoRA rank, count; the profile's finetune.rank by default"
    )
    targets: list[str] | None = Field(
        None, min_length=1, description="modules that get an adapter; finetune.targets by default"
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


class DebiasingSettings(Settings):
    """Gender debiasing: its arms, and other data for the plain LoRA arm."""

    steps: int = Field(ge=1, le=100_000, description="optimiser steps of every arm, count")
    batch_size: int = Field(ge=1, le=4096, description="texts a step; lower it if memory ends")
    examples: int = Field(ge=4, le=1_000_000, description="distinct training texts, count")
    rank: int = Field(ge=1, le=512, description="LoRA rank, count, where an arm has none")
    targets: list[str] = Field(min_length=1, description="modules that get an adapter, likewise")
    arms: dict[str, ArmSettings] = Field(min_length=1, description="interventions by arm name")
    data: list[Literal["sentences", "swapped", "mixed"]] = Field(
        description="other training texts, tried with the arm lora"
    )
    measured: list[str] = Field(
        min_length=1, description="arms that are measured on every axis, which takes longest"
    )

    @model_validator(mode="after")
    def _measures_its_arms(self) -> Self:
        if unknown := set(self.measured) - set(self.arms):
            raise ValueError(f"measured must name arms, but names {sorted(unknown)}")
        if "lora" not in self.arms:
            raise ValueError("arms must have lora, the arm that other data are tried with")
        return self


class SafetySettings(Settings):
    """The safety break and its fix: doses, and defences against attacks."""

    steps: int = Field(ge=1, le=10_000, description="optimiser steps of an attack, count")
    batch_size: int = Field(ge=1, le=4096, description="examples a step, at most")
    batch_sizes: list[Annotated[int, Field(ge=1, le=4096)]] = Field(
        min_length=1, description="examples a step in the grid of step and batch sizes"
    )
    examples: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="doses: numbers of attack examples"
    )
    curve: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="numbers of optimiser steps of the step curve"
    )
    learning_rates: dict[Literal["full", "lora"], list[Annotated[float, Field(gt=0, le=0.1)]]] = (
        Field(description="step sizes of the attack by method; the middle one is the default")
    )
    benign_examples: int = Field(ge=4, le=100_000, description="examples of the benign task, count")
    benign_steps: int = Field(ge=1, le=10_000, description="optimiser steps of the benign task")
    questions: int = Field(ge=2, le=100_000, description="held-out questions of the task, count")
    targets: list[str] = Field(min_length=1, description="modules that get an adapter")
    arms: dict[str, ArmSettings] = Field(
        min_length=1, description="plain arms and defences by arm name"
    )
