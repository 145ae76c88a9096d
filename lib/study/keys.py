"""What an artefact's key is made of: its inputs as text, and the code that is run for it."""

import dataclasses
import hashlib
import inspect
import json
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import InvalidValueError
from lib.study import fingerprint
from lib.study.fingerprint import inside, packages

if TYPE_CHECKING:
    import pandas as pd


INSTALLED = {"site-packages", "dist-packages"}
"""Names of folders of code that versions cover, as they do the standard library."""


def canonical_json(value: Any, root: Path) -> str:
    """One text for equal values: sorted keys, exact floats, folders relative to `root`."""
    return _text(value, root, allow_nan=False)


def digest(value: Any, root: Path) -> str:
    """SHA-256 of a value's `canonical_json`: what identifies items and examples everywhere."""
    return hashlib.sha256(canonical_json(value, root).encode()).hexdigest()


class Code:
    """The code that `make` runs: modules of `lib`, and sources of what stands in a notebook.

    A `lasting` result is shipped to other machines: versions of packages and modules that only
    report or carry (`lib.study.fingerprint.CARRIERS`) are no part of its fingerprint.
    """

    def __init__(self, make: Callable[..., Any], lasting: bool = False) -> None:
        self.lasting = lasting
        self.modules: set[str] = set()
        self.texts: list[str] = []
        self._seen: set[int] = set()
        self._follow(make)
        if not self.texts:  # the text of its arguments may be long
            raise InvalidValueError("a make function written in Python", repr(make),
                                    "wrap it in a function of yours")

    def fingerprint(self) -> list[Any]:
        """What enters a key: names and sources, the modules' hash, versions of packages."""
        if self.lasting:
            return [self.texts, fingerprint.SOURCES.code(self.modules, fingerprint.CARRIERS)]
        return [self.texts, fingerprint.SOURCES.code(self.modules), packages()]

    def check(self) -> None:
        """Refuse a result whose code was edited while it was made."""
        fingerprint.SOURCES.check(self.modules)

    def _follow(self, *items: Any) -> None:
        for item in items:
            if id(item) not in self._seen:
                self._seen.add(id(item))
                self._one(item)

    def _one(self, item: Any) -> None:
        if isinstance(item, partial):
            self._follow(item.func, *item.args, *item.keywords.values())
        elif isinstance(item, types.MethodType):
            self._follow(item.__func__, item.__self__)
        elif isinstance(item, types.ModuleType):
            self.modules |= {item.__name__} if inside(item.__name__) else set()
        elif isinstance(item, types.FunctionType):
            self._function(item)
        elif isinstance(item, type):
            self._class(item)
        elif hasattr(item, "__wrapped__"):  # a cache around a function
            self._follow(item.__wrapped__)
        elif not hasattr(item, "model_dump"):  # settings are values
            self._class(type(item))
            if dataclasses.is_dataclass(item):
                self._follow(*(getattr(item, f.name) for f in dataclasses.fields(item)))

    def _function(self, function: types.FunctionType) -> None:
        if inside(function.__module__):
            self._named(function)
        elif _own(function.__module__):
            self._foreign(function)

    def _class(self, kind: type) -> None:
        if inside(kind.__module__):
            self._named(kind)
        elif _own(kind.__module__):
            self._follow(*kind.__bases__, *vars(kind).values())

    def _named(self, item: types.FunctionType | type) -> None:
        self.modules.add(item.__module__)
        self.texts.append(f"{item.__module__}.{item.__qualname__}")

    def _foreign(self, function: types.FunctionType) -> None:
        self.texts.append(_written(function.__code__))
        names = _names(function.__code__)
        self.modules |= fingerprint.SOURCES.modules.keys() & {
            *names, *(f"{package}.{name}" for package in names if inside(package)
                      for name in names)}
        seen = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
        self._follow(*(function.__globals__[n] for n in names if n in function.__globals__),
                     *seen.values(), *(function.__defaults__ or ()),
                     *(function.__kwdefaults__ or {}).values())


def _names(code: types.CodeType) -> list[str]:
    """Global and attribute names in a function and in those within it, imports among them."""
    inner = [name for const in code.co_consts if isinstance(const, types.CodeType)
             for name in _names(const)]
    return [*code.co_names, *inner]


def _own(module: str) -> bool:
    """Whether a module is the user's: a notebook, or a file that is not installed."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or file is None or inside(module):
        return module == "__main__"
    standard = Path(file).is_relative_to(sysconfig.get_path("stdlib"))
    return not standard and not INSTALLED & set(Path(file).parts)


def _written(code: types.CodeType) -> str:
    """Source of a function, or what it was compiled to where none was kept."""
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return " ".join([code.co_code.hex(), *map(_constant, code.co_consts)])


def _constant(value: Any) -> str:
    return _written(value) if isinstance(value, types.CodeType) else repr(value)


def _text(value: Any, root: Path, allow_nan: bool) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=allow_nan,
                          default=lambda item: _plain(item, root))
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            "inputs made of numbers, text, lists, frames, settings and artefact folders",
            str(error), "pass what identifies it instead, such as the folder of a model",
        ) from error


def _plain(item: Any, root: Path) -> Any:
    if isinstance(item, Path):
        inner = item.is_relative_to(root)
        return {"artefact": item.relative_to(root).as_posix()} if inner else item.as_posix()
    if hasattr(item, "model_dump"):
        return item.model_dump(mode="json")
    if names := _fields(type(item)):
        return {type(item).__qualname__: [[name, getattr(item, name)] for name in names]}
    if isinstance(item, set | frozenset):
        return sorted(item)
    if isinstance(item, Mapping):
        return dict(item)
    np, pd = (sys.modules.get(name) for name in ("numpy", "pandas"))  # slow to import
    if np and isinstance(item, np.generic | np.ndarray):
        return item.tolist()
    if pd and isinstance(item, pd.DataFrame):
        return {"frame": _frame_digest(item, root)}
    if pd and (item is pd.NA or item is pd.NaT):
        return {"missing": str(item)}
    if inside(type(item).__module__) or _own(type(item).__module__):  # a notebook's own
        return {type(item).__qualname__: sorted(vars(item).items())}
    raise TypeError(f"{type(item).__name__} {item!r:.60}")


def _frame_digest(frame: "pd.DataFrame", root: Path) -> str:
    """Of index and columns in order: name, type and values; a missing value is a value."""
    parts = hashlib.sha256()
    for name, column in [("", frame.index), *frame.items()]:
        plain = getattr(column.dtype, "isbuiltin", 0) and column.dtype.kind in "biuf"
        values = (column.to_numpy().tobytes() if plain
                  else _text(column.tolist(), root, allow_nan=True).encode())
        parts.update(f"{name!r} {column.dtype} {len(values)}\n".encode() + values)
    return parts.hexdigest()


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()
