"""What the reference run cost: an extract of its manifest that may be committed and published."""

import json
from pathlib import Path
from typing import Any

from lib import paths
from lib.errors import InvalidValueError
from lib.markdown import cell, table
from lib.progress import clock_text

FILE = "run.json"
KEPT_HARDWARE = ("cpu", "cores", "memory_gib", "gpu", "system")
SHOWN_VERSIONS = ("python", "torch", "transformers", "peft", "statsmodels")


def extract(manifest: Path) -> dict[str, Any]:
    """What a run says of its cost: no path, host, commit, date or artefact.

    Raises
    ------
    InvalidValueError
        The manifest is absent or damaged, the run has changed settings, or is not complete.
    """
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        entries, given = content["notebooks"], content["parameters"]
        undone = [name for name, e in entries.items() if e["status"] != "done"]
        if given or undone or not entries:
            raise InvalidValueError(
                "a complete run of a profile as it is", f"changed settings {given}, "
                f"notebooks not done {undone}, {len(entries)} notebooks in all",
                "run ./run_all.sh to its end without -p",
            )
        return {
            "profile": content["profile"], "seed": content["seed"],
            "hardware": {name: content["hardware"][name] for name in KEPT_HARDWARE},
            "versions": content["versions"],
            "storage_mb": round(sum(p.stat().st_size for p in manifest.parent.rglob("*")
                                    if p.is_file()) / 1e6),
            "notebooks": {name: {"seconds": round(e["seconds"]),
                                 "peak_memory_mb": e["peak_memory_mb"]}
                          for name, e in sorted(entries.items())},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidValueError(
            f"the manifest of a run at {manifest}", f"{type(error).__name__}: {error}",
            "run ./run_all.sh first, or give the path of its manifest.json",
        ) from None


def runtime() -> str:
    """Time, memory, storage and versions of the reference run, from ``figures/run.json``."""
    path = paths.FIGURES / FILE
    if not path.is_file():
        return ("*No reference run is committed yet; "
                "`python -m lib.readme --manifest runs/sandbox/manifest.json` writes one.*")
    facts = json.loads(path.read_text(encoding="utf-8"))
    entries = facts["notebooks"]
    rows = [[f"`{name}`", clock_text(e["seconds"]), str(e["peak_memory_mb"])]
            for name, e in entries.items()]
    rows.append(["all", clock_text(sum(e["seconds"] for e in entries.values())),
                 str(max(e["peak_memory_mb"] for e in entries.values()))])
    machine, versions = facts["hardware"], facts["versions"]
    gpu = cell(machine["gpu"] or "no GPU")
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN_VERSIONS if versions.get(name))
    return (
        f"Profile `{facts['profile']}`, seed {facts['seed']}, on {cell(machine['cpu'])}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB memory, {gpu}, "
        f"{cell(machine['system'])}; {cell(shown)}. "
        f"The run's results take {facts['storage_mb']} MB of disk.\n\n"
        + table(["notebook", "minutes:seconds", "peak memory, MB"], rows)
    )
