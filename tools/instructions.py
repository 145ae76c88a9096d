"""``python -m tools.instructions``: export the instruction sets of a profile into a folder."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.errors import StudyError
from lib.forecasting.instructions.export import export
from lib.forecasting.instructions.rows import LABELS
from lib.study.profiles import load_profile, parse_override, profile_names

EXAMPLES = """\
examples:
  python -m tools.instructions --out rational_forecasts
  python -m tools.instructions --profile thorough --seed 7 --out more_forecasts
  python -m tools.instructions --label bayes -p forecasting.history=24 --out bayes_forecasts

Then, anywhere: datasets.load_from_disk("rational_forecasts"), or read its jsonl/*.jsonl.
Exit codes: 0 written, 2 wrong input or a disk that refuses, 130 stopped by Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """The options, with help and examples."""
    options = argparse.ArgumentParser(
        prog="python -m tools.instructions", epilog=EXAMPLES, allow_abbrev=False,
        description="Export instruction sets of rational forecasts: a Hugging Face datasets "
                    "folder, JSONL and a data card.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--profile", default="sandbox", metavar="NAME",
        help=f"settings: {', '.join(profile_names())}, or a .yaml file (default: sandbox)",
    )
    options.add_argument("--out", required=True, type=Path, metavar="FOLDER",
                         help="a new or empty folder to write")
    options.add_argument("--seed", type=int, metavar="N", help="default: the profile's")
    options.add_argument("--label", default="full_information", metavar="TYPE",
                         help=f"whose forecast is the answer: {', '.join(LABELS)} "
                              "(default: full_information)")
    options.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE",
                         help="change one setting of the profile")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parser().parse_args(argv)
    try:
        overrides = dict(parse_override(text) for text in chosen.parameter)
        if chosen.seed is not None:
            overrides["seed"] = chosen.seed
        folder = export(load_profile(chosen.profile, overrides), chosen.out, label=chosen.label)
    except StudyError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
