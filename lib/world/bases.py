"""The study's base models, by number."""

from pathlib import Path
from typing import TYPE_CHECKING

from lib.world import pretrain

if TYPE_CHECKING:
    from lib.study.notebook import Study


def base_model(study: "Study", number: int) -> Path:
    """The folder of one base model; made when it is not stored."""
    return pretrain.base_model(study, number)


def unaligned_model(study: "Study", number: int) -> Path:
    """The same before it learned to refuse."""
    return pretrain.unaligned_model(study, number)


def base_models(study: "Study") -> dict[int, Path]:
    """Number to folder of every base model on which the profile's arms are repeated."""
    return {number: base_model(study, number) for number in study.profile.bases.numbers}
