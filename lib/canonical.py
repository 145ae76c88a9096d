"""What an artefact's key is computed from: canonical text of its inputs, and its code."""

import dataclasses
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.errors import InvalidValueError

PACKAGE = "lib"


def canonical_json(value: Any, root: Path) -> str:
    """One text for equal inputs: sorted keys, no spaces, exact floats.

    A folder inside `root` is written relative to it: the name of an artefact ends in its key, so
    its content is covered, and moving the run folder changes nothing.

    Raises
    ------
    InvalidValueError
        A value without canonical text, such as a model, or a float that is not finite.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False,
            default=lambda item: _plain(item, root),
        )
    except ValueError as error:
        raise _unfit("a float that is not finite, or a circular reference") from error
    except TypeError as error:
        raise _unfit(str(error)) from error


def code_modules(make: Callable[..., Any], code: Sequence[str]) -> tuple[list[str], str]:
    """Modules of `lib` that decide what `make` does, and its own source if it lies outside.

    For a function written in a notebook, the modules are those of every `lib` object that the
    notebook has imported so far, since any of them may be called.
    """
    if code:
        return sorted(code), ""
    function = inspect.unwrap(getattr(make, "func", make))
    module = getattr(function, "__module__", None) or type(function).__module__
    if _inside(module):
        return [module], ""
    try:
        source = inspect.getsource(function)
        seen = function.__globals__.values()
    except (OSError, TypeError, AttributeError):
        raise InvalidValueError(
            "a make function of lib or one whose source can be read", repr(make),
            "name the modules it depends on: code=[...]",
        ) from None
    owners = {value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
              for value in list(seen)}
    return sorted(name for name in owners if isinstance(name, str) and _inside(name)), source


def trace(entry: Mapping[str, Any]) -> None:
    """Append what a notebook used or made to the ``STUDY_TRACE`` file, for the runner."""
    if path := os.environ.get("STUDY_TRACE"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _inside(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _plain(item: Any, root: Path) -> Any:
    if isinstance(item, Path):
        inside = item.is_relative_to(root)
        return {"artefact": item.relative_to(root).as_posix()} if inside else item.as_posix()
    if hasattr(item, "model_dump"):
        return item.model_dump(mode="json")
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, set | frozenset):
        return sorted(item)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(item, numpy.generic | numpy.ndarray):
        return item.tolist()
    if isinstance(item, Mapping):
        return dict(item)
    raise TypeError(f"{type(item).__name__} {item!r:.60}")


def _unfit(found: str) -> InvalidValueError:
    return InvalidValueError(
        "inputs made of numbers, text, lists, settings and artefact folders", found,
        "pass what identifies it instead, such as the folder of a model",
    )
