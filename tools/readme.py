"""``side-effects readme``: the README's exhibits, notebooks, profiles and cost of a run.

Nothing measured is typed in by hand. Between ``<!-- generated:NAME -->`` and
``<!-- /generated -->`` stands what this module makes of the committed files, and of them only.
"""

import csv
import difflib
import json
import re
from pathlib import Path
from typing import Any

from lib.chapters.claims import ABSENT, FAILS, HOLDS, OPEN, REAL, Decision, claims
from lib.errors import InvalidValueError, require
from lib.models.public import HubModel
from lib.study import paths
from lib.study.disk import write_text
from lib.study.fingerprint import notebook_cells
from lib.study.notebook import REFERENCE, RUN, reference_committed
from lib.study.profiles import Profile, load_profile, profile_names
from lib.study.progress import clock_text
from lib.study.text import cell, read_text, read_yaml, table
from lib.world.guards import SHIPPED
from tools.models import registered
from tools.reference import base_weights, verdicts

FILES = {REFERENCE: RUN, "sandbox": "default.json", REAL: "real.json"}
"""What is kept of a run of these profiles, beside the exhibits."""
KEPT_HARDWARE = ("cpu", "cores", "memory_gib", "gpu", "system")
SHOWN_VERSIONS = ("python", "torch", "transformers", "peft", "statsmodels")

VERDICTS = (HOLDS, FAILS, OPEN, ABSENT)

BLOCK = re.compile(r"(<!-- generated:(\w+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)
HEADLINE = "08_scorecard"


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
         ", ".join(f"[{_kind(path)}](figures/{path.relative_to(paths.FIGURES).as_posix()})"
                   for path in files)]
        for id, files in exhibit_files().items()
    ]
    if not rows:
        return "*No exhibit is committed yet.*"
    return table(["exhibit", "what it shows", "notebook", "files"], rows)


def _kind(path: Path) -> str:
    return "runs" if path.parent.name == "runs" else path.suffix[1:]


def exhibit_files() -> dict[str, list[Path]]:
    """Committed files of every exhibit, by id in order: figure first, then its table."""
    found: dict[str, list[Path]] = {}
    for pattern in ("*.png", "*.svg", "tables/*.csv", "runs/*.csv"):
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
    """One row a profile: the default first, then what runs at once, then what is taught first."""
    chosen = [load_profile(name) for name in profile_names()]
    chosen.sort(key=lambda p: (p.name != "sandbox", not _ready(p), p.name))
    rows = [[f"`{p.name}`", cell(p.description), _model(p), _runs(p), str(p.evaluation.items),
             "yes" if _ready(p) else f"`side-effects guards --profile {p.name} --teach N`"]
            for p in chosen]
    return table(["profile", "what it is", "model", "runs an arm", "items a cell",
                  "runs at once"], rows)


def _ready(profile: Profile) -> bool:
    """Whether all that it needs is in the repository, or fetched by itself."""
    return profile.model.name in (None, SHIPPED)


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
    cells = notebook_cells(path)
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    title = re.search(r"^# (?:\d\d · )?(.+)$", text, re.MULTILINE)
    question = re.search(r"^\*\*Question\.\*\* (.+)$", text, re.MULTILINE)
    return title[1] if title else path.stem, question[1] if question else ""


def _runs(profile: Profile) -> str:
    bases, seeds = len(profile.bases.numbers), profile.bases.seeds
    return f"{bases} base{'s' * (bases > 1)} x {seeds} seed{'s' * (seeds > 1)}"


def _model(profile: Profile) -> str:
    model = profile.model
    if model.source != "sandbox":
        return cell(model.name)
    layers = f"{model.layers} layer" + "s" * (model.layers > 1)
    return f"trained here: {layers}, width {model.hidden}"


def extract(manifest: Path) -> dict[str, Any]:
    """What a run says of its cost: no path, host, commit, date or artefact."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        entries, given = content["notebooks"], content["parameters"]
        undone = [name for name, e in entries.items() if e["status"] != "done"]
        require(
            entries and not (given or undone), "a complete run of a profile as it is",
            f"changed settings {given}, notebooks not done {undone}, {len(entries)} in all",
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
            "bases": base_weights(manifest.parent),
            "claims": {id: found.verdict
                       for id, found in verdicts(manifest.parent / "figures").items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidValueError(
            f"the manifest of a run at {manifest}", f"{type(error).__name__}: {error}",
            "run ./run_all.sh first, or give the path of its manifest.json",
        ) from None


def runtime() -> str:
    """Time, memory, storage and versions of the committed runs."""
    parts = [_cost(facts) for facts in map(_kept, FILES) if facts]
    return "\n\n".join(parts) or (
        "*No reference run is committed yet; "
        "`side-effects readme --manifest runs/reference/manifest.json` writes one.*")


def _kept(profile: str) -> dict[str, Any] | None:
    path = paths.FIGURES / FILES[profile]
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _cost(facts: dict[str, Any]) -> str:
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


def claims_() -> str:
    """How many claims hold: in the committed reference, and in the default run kept beside it."""
    found = {}
    if reference_committed() and any((paths.FIGURES / "runs").glob("*.csv")):
        found["reference"] = [one.verdict for one in verdicts(paths.FIGURES).values()]
    for name in ("sandbox", REAL):
        if facts := _kept(name):
            found[name] = list(facts.get("claims", {}).values())
    if not any(found.values()):
        return "*No run whose claims could be decided is committed yet.*"
    rows = [[f"`{name}`", *(str(several.count(verdict)) for verdict in VERDICTS)]
            for name, several in found.items()]
    return table(["run", *VERDICTS], rows)


def findings() -> str:
    """The headline claims, each with the number and the verdict of the committed reference."""
    chosen = [claim for claim in claims() if claim.headline]
    found = verdicts(paths.FIGURES)
    real = verdicts(paths.REAL_FIGURES) if paths.REAL_FIGURES.is_dir() else {}
    if not (reference_committed() and any(found[c.id].bases for c in chosen)):
        return "*No reference run is committed yet.*"
    rows = [[cell(claim.says), cell(claim.condition), _number(found[claim.id]),
             cell(found[claim.id].verdict), *([cell(real[claim.id].verdict)] if real else [])]
            for claim in chosen]
    return table(["what the book says", "it holds if", "reference, 95 % over bases", "verdict",
                  *(["in a real model"] if real else [])], rows)


def _number(found: Decision) -> str:
    return cell(f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]") if found.bases else ""


def costs() -> str:
    """One row a profile: minutes, memory, download and disk; measured, or what follows from sizes.

    Of a model that was not run, memory is that of its weights in float32, once a worker, and disk
    that of a merged copy for each guard, and the model itself.
    """
    rows = []
    for name in profile_names():
        profile, facts = load_profile(name), _kept(name) if name in FILES else None
        model = registered()[profile.model.name] if profile.model.name else None
        told = [f"{model.megabytes} MB" if model else "none"]
        if facts:
            entries = facts["notebooks"].values()
            minutes = clock_text(sum(e["seconds"] for e in entries))
            memory = max(e["peak_memory_mb"] for e in entries)
            how = f"measured on {facts['hardware']['cores']} cores"
            told = [minutes, f"{memory} MB", *told, f"{facts['storage_mb']} MB", how]
        elif isinstance(model, HubModel):
            whole = round(4 * model.millions)
            copies = len(profile.bases.numbers) + 2
            told = ["not measured", f"{profile.workers * whole} MB", *told,
                    f"{copies * whole} MB", "estimated"]
        else:
            told = ["not kept", "not kept", *told, "not kept", ""]
        rows.append([f"`{name}`", *told])
    return table(["profile", "minutes:seconds", "peak memory", "download", "disk", ""], rows)


BLOCKS = {"headline": headline, "costs": costs, "exhibits": exhibits, "notebooks": notebooks,
          "profiles": profiles, "runtime": runtime, "claims": claims_, "findings": findings}


def render(text: str) -> str:
    """The README with every generated block made anew; each must be there once."""
    names = [match[2] for match in BLOCK.finditer(text)]
    opened = re.findall(r"<!-- generated:(\w+) -->", text)
    require(
        sorted(names) == sorted(BLOCKS) and opened == names,
        f"one block each of {', '.join(BLOCKS)} in README.md, opened and closed",
        ", ".join(opened) or "none", "mend the <!-- generated:NAME --> comments",
    )
    return BLOCK.sub(lambda m: f"{m[1]}\n{BLOCKS[m[2]]()}\n\n{m[4]}", text)


def refresh(manifest: Path | None = None, write: bool = True) -> str:
    """Render the README, first what is kept of a run's `manifest`; returns what differs."""
    readme = paths.ROOT / "README.md"
    if manifest:
        facts = extract(manifest)
        require(facts["profile"] in FILES, f"a run of {' or '.join(FILES)}", facts["profile"],
                "name the manifest of one of these")
        write_text(paths.FIGURES / FILES[facts["profile"]], json.dumps(facts, indent=1) + "\n")
    old = read_text(readme)
    new = render(old)
    if write:
        write_text(readme, new)
    return "\n".join(difflib.unified_diff(
        old.splitlines(), new.splitlines(), "README.md", "generated", lineterm="", n=0))
