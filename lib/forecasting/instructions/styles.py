"""Ways of asking for a forecast: words, units and formats of ``data/instructions.yml``."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from lib.errors import InvalidValueError
from lib.study.paths import DATA
from lib.study.settings import Settings
from lib.study.text import read_yaml

GROUPS = Literal["prices", "returns", "units", "story", "chat"]
Message = dict[str, str]
"""``role`` (system, user or assistant) and ``content``, as chat templates take them."""


class Style(Settings):
    """One way of asking; the keys are explained at the top of ``data/instructions.yml``."""

    name: str
    group: GROUPS
    held_out: bool
    unit: str
    decimals: int = Field(ge=0, le=6)
    means: list[float] = Field(min_length=1)
    sigmas: list[float] = Field(min_length=1)
    low: float
    high: float
    item: str
    when: list[str] = Field(min_length=2, max_length=2)
    system: str | None = None
    user: str

    def number(self, value: float) -> str:
        """A value as this style writes it: fixed decimals, half to even, no negative zero."""
        return f"{np.round(value, self.decimals) + 0.0:.{self.decimals}f}"

    def question(self, history: Sequence[float], horizon: int) -> list[Message]:
        """What is asked about the numbers shown, one or two periods ahead."""
        listed = ", ".join(self.item.format(value=self.number(value)) for value in history)
        asked = self.user.format(history=listed, when=self.when[horizon - 1])
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": asked}]


def plain(messages: Sequence[Message]) -> str:
    """A chat as one text, for models without roles: contents with an empty line between them."""
    return "\n\n".join(message["content"] for message in messages)


@lru_cache
def content() -> dict[str, Any]:
    """The file ``data/instructions.yml``."""
    return read_yaml(DATA / "instructions.yml")


def read_styles(held_out: bool = True) -> list[Style]:
    """All styles in the order of the file; without those kept for the test if not `held_out`."""
    styles = [_style(name, given) for name, given in content()["styles"].items()]
    return [style for style in styles if held_out or not style.held_out]


def _style(name: str, given: dict[str, Any]) -> Style:
    try:
        return Style(name=name, **given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InvalidValueError(
            f"a valid {key} of style {name} in data/instructions.yml", first["msg"],
            "mend it; the keys are explained at the top of that file",
        ) from None
