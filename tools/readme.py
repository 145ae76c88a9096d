"""What the reference run cost: an extract of its manifest that may be committed and published.

The README's generated parts: exhibits, notebooks, profiles and the reference run's cost.

Nothing measured is typed into the README by hand. Between ``<!-- generated:NAME -->`` and
``<!-- /generated -->`` stands what this module makes of the committed files, and of them only.
"""

import argparse
import csv
import difflib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.errors import InvalidValueError, StudyError
from lib.study import paths
from lib.study.disk import write_text
from lib.study.profiles import Profile, load_profile, profile_names, require_complete
from lib.study.progress import clock_text
from lib.study.text import cell, read_yaml, table

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
                "`python -m tools.readme --manifest runs/sandbox/manifest.json` writes one.*")
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

BLOCK = re.compile(r"(<!-- generated:(\w+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)
HEADLINE = "03_before_after"


def headline() -> str:
    """The headline figure, or a sentence that says that it is not there yet."""
    name = f"{HEADLINE}.png"
    if not (paths.FIGURES / name).is_file():
        return f"*The headline figure, `{HEADLINE}`, is not committed yet.*"
    return f"![{cell(captions().get(HEADLINE, HEADLINE))}](figures/{name})"


def exhibits() -> str:
    """One row an exhibit: id, what it shows, notebook, files under ``figures/``."""
    rows = [
        [f"`{id}`", _caption(id), _notebook_of(id),
         ", ".join(f"[{path.suffix[1:]}](figures/{path.relative_to(paths.FIGURES).as_posix()})"
                   for path in files)]
        for id, files in exhibit_files().items()
    ]
    if not rows:
        return "*No exhibit is committed yet.*"
    return table(["exhibit", "what it shows", "notebook", "files"], rows)


def exhibit_files() -> dict[str, list[Path]]:
    """Committed files of every exhibit, by id in order: figure first, then its table."""
    found: dict[str, list[Path]] = {}
    for pattern in ("*.png", "*.svg", "tables/*.csv"):
        for path in sorted(paths.FIGURES.glob(pattern)):
            found.setdefault(path.stem, []).append(path)
    return dict(sorted(found.items()))


def notebooks() -> str:
    """One row a notebook: link, title and the question that it opens with."""
    rows = []
    for path in sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        title, question = _opening(path)
        rows.append([f"[{path.stem[:2]}](notebooks/{path.name})", cell(title), cell(question)])
    return table(["notebook", "title", "question"], rows) if rows else "*No notebook yet.*"


def profiles() -> str:
    """One row a profile, with whether the notebooks can run it."""
    chosen = [load_profile(name) for name in profile_names()]
    # The default first, then what runs, then what waits.
    chosen.sort(key=lambda p: (p.name != "sandbox", p.model.source == "hub", p.name))
    rows = [[f"`{p.name}`", cell(p.description), _model(p), str(p.arm_seeds),
             str(p.evaluation.items), "yes" if _runs(p) else "not yet: validated only"]
            for p in chosen]
    return table(["profile", "what it is", "model", "seeds an arm", "items a cell", "runs"], rows)


BLOCKS = {"headline": headline, "exhibits": exhibits, "notebooks": notebooks,
          "profiles": profiles, "runtime": runtime}


def render(text: str) -> str:
    """The README with every generated block made anew.

    Raises
    ------
    InvalidValueError
        A block is unknown or missing, or stands there twice.
    """
    names = [match[2] for match in BLOCK.finditer(text)]
    opened = re.findall(r"<!-- generated:(\w+) -->", text)
    if sorted(names) != sorted(BLOCKS) or opened != names:
        raise InvalidValueError(
            f"one block each of {', '.join(BLOCKS)} in README.md, opened and closed",
            ", ".join(opened) or "none", "mend the <!-- generated:NAME --> comments",
        )
    return BLOCK.sub(lambda m: f"{m[1]}\n{BLOCKS[m[2]]()}\n\n{m[4]}", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the README's blocks, or with ``--check`` print what differs and return 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.readme", description=__doc__)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--check", action="store_true", help="write nothing; 1 if it is out of date")
    way.add_argument("--manifest", type=Path, help="first make figures/run.json of this manifest")
    chosen = parser.parse_args(arguments)
    readme = paths.ROOT / "README.md"
    try:
        if chosen.manifest:
            facts = json.dumps(extract(chosen.manifest), indent=1)
            write_text(paths.FIGURES / FILE, facts + "\n")
        old = readme.read_text(encoding="utf-8")
        new = render(old)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.check:
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "README.md", "generated",
                                     lineterm="", n=0)
        print("\n".join(lines) or "README.md is up to date")
        return int(old != new)
    write_text(readme, new)
    return 0


def captions() -> dict[str, str]:
    """Caption by exhibit id, from ``figures/captions.yml``."""
    path = paths.FIGURES / "captions.yml"
    return read_yaml(path) or {} if path.is_file() else {}


def _caption(id: str) -> str:
    """The caption; without one, the metrics that the table holds."""
    if id in captions():
        return cell(captions()[id])
    path = paths.FIGURES / "tables" / f"{id}.csv"
    if not path.is_file():
        return "a figure without a table"
    with open(path, encoding="utf-8", newline="") as file:
        metrics = dict.fromkeys(row.get("metric") or "" for row in csv.DictReader(file))
    return ", ".join(cell(name) for name in metrics if name) or "an empty table"


def _notebook_of(id: str) -> str:
    found = sorted(paths.NOTEBOOKS.glob(f"{id[:2]}_*.ipynb"))
    return f"[{cell(found[0].stem)}](notebooks/{found[0].name})" if found else cell(id[:2])


def _opening(path: Path) -> tuple[str, str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    title = re.search(r"^# (?:\d\d · )?(.+)$", text, re.MULTILINE)
    question = re.search(r"^\*\*Question\.\*\* (.+)$", text, re.MULTILINE)
    return title[1] if title else path.stem, question[1] if question else ""


def _model(profile: Profile) -> str:
    model = profile.model
    if model.source == "hub":
        return cell(model.hub_id)
    return f"trained here: {model.layers} layers, width {model.hidden}"


def _runs(profile: Profile) -> bool:
    try:
        require_complete(profile)
    except InvalidValueError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
