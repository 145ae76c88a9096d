"""Settings of the model, its training, the forecasting task and the evaluation.

Every field says its unit, its range and why it exists; unknown keys are refused, so that no option
is ever silently ignored.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rho = Annotated[float, Field(ge=0, le=1)]
NEEDED_BY_SANDBOX = ("hidden", "layers", "heads")


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
        "float32", description="format of matrix products in training; bfloat16 only pays on a GPU"
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


class EvaluationSettings(Settings):
    """How much is measured."""

    items: int = Field(
        ge=2, le=100_000, description="items per axis cell, count; intervals shrink as 1/sqrt"
    )
