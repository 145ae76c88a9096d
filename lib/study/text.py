"""Markdown tables from values that may hold anything.

YAML as people mean it: ``3e-3`` is a number, and a key given twice is an error.
"""

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from lib.errors import InvalidValueError


def cell(text: object) -> str:
    """A value as the text of one Markdown table cell: one line, no markup of its own."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table of cells that are already escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class _Loader(yaml.SafeLoader):
    """Safe loader with two footguns removed, see the module's docstring."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", mark
                )
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, where a float needs a dot: 3e-3 would arrive as a string.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str, source: str) -> Any:
    """Value of a YAML text; `source` names it in the error.

    Raises
    ------
    InvalidValueError
        The text is not YAML, or gives a key twice.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        where = f" on line {mark.line + 1}" if mark else ""
        raise InvalidValueError(
            f"valid YAML in {source}", f"{problem}{where}", "mend that line"
        ) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Top-level mapping of a YAML file.

    Raises
    ------
    InvalidValueError
        The file is not YAML, or its top level is not a mapping.
    """
    values = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(values, dict):
        raise InvalidValueError(
            f"keys and values in {path.name}", type(values).__name__, "see profiles/sandbox.yaml"
        )
    return values
