"""``side-effects model``: the registry of public models, and what of it is on this machine."""

from pathlib import Path

from lib.errors import UnknownNameError, nearest
from lib.models.public import PublicModel, cache, fetch, fetched, public_models
from lib.study.paths import DATA
from lib.study.text import read_yaml

REGISTRY = DATA / "models.yml"


def registered() -> dict[str, PublicModel]:
    """Public models by name."""
    return public_models(read_yaml(REGISTRY))


def listing() -> str:
    """A line a model: whose it is, what it costs to fetch, and whether it is here."""
    return "\n".join(
        f"{model.name}: {model.title}; {model.licence}; {model.citation}; "
        + (str(found) if (found := fetched(model)) else
           f"not here: {model.megabytes} MB to download, kept in {cache()}")
        for model in registered().values())


def fetch_named(name: str) -> Path:
    """The folder of a public model; fetched if need be, with a line a step."""
    known = registered()
    if name not in known:
        raise UnknownNameError("a public model", repr(name), nearest(name, list(known)))
    return fetch(known[name])
