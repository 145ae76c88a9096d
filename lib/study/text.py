"""Text in and out: YAML as people mean it, and Markdown tables of values that may hold anything."""

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from lib.errors import InvalidValueError, require


def cell(text: object) -> str:
    """A value as the text of one Markdown table cell: one line, no markup of its own."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table of cells that are already escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class _Loader(yaml.SafeLoader):
    """Safe loader with plain decimal numbers, which refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", mark
                )
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, where 3e-3 is text, 010 is eight, 1:30 is ninety and 2026-01-02 a date.
# Here a number is what a person would call one, and everything else stays text.
_INT = r"[-+]?(0|[1-9][0-9]*)"
_FLOAT = (r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
          r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OWN = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in several if tag not in _OWN]
    for first, several in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern in (("int", _INT), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list("-+.0123456789")
    )


def parse_yaml(text: str, source: str) -> Any:
    """Value of a YAML text; `source` names it in the error."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        where = f" on line {mark.line + 1}" if mark else ""
        raise InvalidValueError(
            f"valid YAML in {source}", f"{' '.join(problem.split())}{where}", "mend that line"
        ) from None


def read_text(path: Path) -> str:
    """Text of a UTF-8 file that a person may have written."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValueError(
            f"text in UTF-8 in {path.name}", f"byte {error.object[error.start]:#04x} at position "
            f"{error.start}, which is not", "save the file in UTF-8"
        ) from None
    except OSError as error:
        raise InvalidValueError(
            f"a file that can be read at {path}", str(error.strerror), "name another, or mend it"
        ) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Top-level mapping of a YAML file."""
    values = parse_yaml(read_text(path), path.name)
    require(isinstance(values, dict), f"keys and values in {path.name}", type(values).__name__,
            "see profiles/sandbox.yaml")
    return values
