"""Checks, before anything runs, that a notebook takes the parameters it is going to be given."""

import ast
import logging
from pathlib import Path
from types import NoneType
from typing import Any

from lib.errors import InvalidValueError, UnknownNameError, nearest, require

TYPES = {"profile": (str,), "seed": (int, NoneType), "overrides": (dict, NoneType)}
"""The parameters of every notebook and the types of their literals."""


def check_parameters(path: Path) -> None:
    """Check a notebook's cell tagged ``parameters``: papermill only warns of what it lacks."""
    declared = _declared(path)
    require(declared, f"a code cell tagged parameters in {path.name}, with {', '.join(TYPES)}",
            "none", 'add the cell, for example profile = "sandbox", and the tag')
    for name, types in TYPES.items():
        if name not in declared:
            raise UnknownNameError(
                f"the parameter {name} in the parameters cell of {path.name}",
                f"only {', '.join(declared)}", nearest(name, list(declared)),
            )
        value = declared[name]
        require(isinstance(value, types) and not isinstance(value, bool),
                f"{name} to be {types[0].__name__} in the parameters cell of {path.name}",
                repr(value), "give it a literal of that type")


def _declared(path: Path) -> dict[str, Any]:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    try:
        found = papermill.inspect_notebook(str(path))
        return {name: ast.literal_eval(info["default"]) for name, info in found.items()}
    except (ValueError, SyntaxError) as error:
        raise InvalidValueError(
            f"a Python notebook whose parameters are literals in {path.name}", str(error),
            "open it in JupyterLab, choose the kernel Python 3, mend the cell and save",
        ) from None
