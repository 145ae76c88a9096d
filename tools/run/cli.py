"""Command line of the runner: ``python -m tools.run``, or ``./run_all.sh``, its thin door."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.errors import NotebookFailedError, StudyError
from lib.study import paths
from lib.study.profiles import load_profile, parse_override, profile_names, require_complete
from lib.study.progress import clock_text
from tools.run.manifest import Manifest
from tools.run.plan import discover, select
from tools.run.run import Request, run

EXAMPLES = """\
examples:
  ./run_all.sh                                  the default profile, sandbox
  ./run_all.sh --profile smoke                  a quick check that everything runs
  ./run_all.sh --only 03                        one notebook (--only 01,03 for two)
  ./run_all.sh --from 02                        notebook 02 and all after it
  ./run_all.sh -p finetune.rank=8 -p seed=7     other settings; names as in profiles/sandbox.yaml
  ./run_all.sh --fresh                          delete this profile's results and start over
  ./run_all.sh --list                           profiles, notebooks and how long they took

A run that was stopped, by whatever cause, continues where it stopped: run the same command again.
Results are in runs/<profile>/. Exit codes: 0 all done, 1 a notebook failed, 2 wrong input or an
environment that does not fit, 130 stopped by Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """The options, with help and examples."""
    options = argparse.ArgumentParser(
        prog="run_all.sh", description="Run the study's notebooks in order; skip what is done.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    options.add_argument(
        "--profile", default="sandbox", metavar="NAME", help="settings to use (default: sandbox)"
    )
    which = options.add_mutually_exclusive_group()
    which.add_argument(
        "--only", action="append", default=[], metavar="NN", help="run only this notebook"
    )
    which.add_argument(
        "--from", dest="start", metavar="NN", help="run this notebook and later ones"
    )
    options.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE",
        help="change one setting of the profile",
    )
    options.add_argument("--fresh", action="store_true", help="delete earlier results first")
    options.add_argument("--list", action="store_true", help="show profiles and notebooks, and end")
    return options


def main(argv: Sequence[str] | None = None, notebooks: Path = paths.NOTEBOOKS) -> int:
    """Run the command line; returns the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.
    notebooks : Path
        Folder of the notebooks.
    """
    chosen = parser().parse_args(argv)
    try:
        if chosen.list:
            print(listing(chosen.profile, notebooks))
        else:
            run(_request(chosen, notebooks), sys.stdout)
    except StudyError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1 if isinstance(error, NotebookFailedError) else 2
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to continue: what is finished is kept.",
              file=sys.stderr)
        return 130
    return 0


def listing(profile: str, notebooks: Path) -> str:
    """Profiles, and notebooks with the duration of their last run in `profile`."""
    lines = ["Profiles:"]
    for name in profile_names():
        lines.append(f"  {name:<13}{load_profile(name).description}")
    manifest = Manifest(paths.run_dir(load_profile(profile).name))
    lines.append(f"Notebooks (last duration with --profile {profile}):")
    for notebook in discover(notebooks):
        seconds = manifest.seconds(notebook.name)
        last = "not yet" if seconds is None else clock_text(seconds)
        lines.append(f"  {notebook.name:<28}{last:>8}  {notebook.title()}")
    return "\n".join(lines)


def _request(chosen: argparse.Namespace, notebooks: Path) -> Request:
    overrides = dict(parse_override(text) for text in chosen.parameter)
    profile = load_profile(chosen.profile, overrides)
    require_complete(profile)
    only = [name for group in chosen.only for name in group.split(",") if name]
    source = chosen.profile
    if source.endswith(".yaml"):  # the kernel's working directory is not the user's
        source = str(Path(source).resolve())
    wanted = select(discover(notebooks), only, chosen.start)
    return Request(profile, source, overrides, wanted, chosen.fresh)
