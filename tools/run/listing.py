"""What ``side-effects list`` shows: profiles, and the state of every notebook."""

from lib.errors import StudyError
from lib.study import paths
from lib.study.profiles import load_profile, profile_names
from lib.study.progress import clock_text
from tools.run.manifest import Manifest
from tools.run.plan import discover, fingerprint, reason_to_run


def listing(source: str) -> str:
    """Profiles, and notebooks with the last duration in `source` and why they would run again."""
    profile = load_profile(source)
    lines = ["Profiles:", *(f"  {name:<13}{_description(name)}" for name in profile_names())]
    folder = paths.run_dir(profile.name)
    manifest = Manifest(folder)
    lines.append(f"Notebooks (last duration with --profile {source}):")
    for notebook in discover(paths.NOTEBOOKS):
        last, entry = "not yet", manifest.notebooks.get(notebook.name)
        if entry is not None:
            seconds = manifest.seconds(notebook.name)
            last = "failed" if seconds is None else clock_text(seconds)
        lines.append(f"  {notebook.name:<28}{last:>8}  {notebook.title()}")
        if entry is not None:
            current = fingerprint(notebook, profile)
            if reason := reason_to_run(entry, current, folder, notebook.path.name):
                lines.append(f"{'':<40}runs again: {reason}")
    return "\n".join(lines)


def _description(name: str) -> str:
    """What a profile is for; of a damaged file, what is wrong with it."""
    try:
        return load_profile(name).description
    except StudyError as error:
        return str(error)
