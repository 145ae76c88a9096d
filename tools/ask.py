"""``python -m lib.measures.chat``: refusals of real chat models, before and after fine-tuning."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lib.errors import StudyError
from lib.measures.chat.measures import ANSWER_TOKENS
from lib.measures.chat.report import Run, compared, write
from lib.measures.chat.requests import FOLDER, XSTEST
from lib.study.paths import runs_dir

EXAMPLES = f"""\
examples:
  python -m lib.measures.chat models/base
  python -m lib.measures.chat models/base models/tuned --out runs/chat
  python -m lib.measures.chat models/base models/tuned --set hex_phi   (gated, see {FOLDER})
  python -m lib.measures.chat models/base --most 3 --tokens 32         (a quick look)

A model is a folder of safetensors with a chat template, or an adapter's folder; a template that
lets the model think first must have that turned off. No request and no answer is printed or
written. Exit codes: 0 written, 2 wrong input or a disk that refuses, 130
stopped by Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """The options, with help and examples."""
    options = argparse.ArgumentParser(
        prog="python -m lib.measures.chat", epilog=EXAMPLES, allow_abbrev=False,
        description="Refusals, needless refusals and compliance of chat models on XSTest or a "
                    "gated set, by a keyword list and by an audited judge; changes are paired "
                    "with the first model.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("models", nargs="+", type=Path, metavar="FOLDER",
                         help="models to measure; the first is the base of comparisons")
    options.add_argument("--set", default=XSTEST, metavar="NAME", dest="benchmark",
                         help=f"{XSTEST} (default), or a gated set in the folder {FOLDER} names")
    options.add_argument("--judge", type=Path, metavar="FOLDER",
                         help="chat model that reads the answers (default: the first model)")
    options.add_argument("--tokens", type=int, default=ANSWER_TOKENS, metavar="N",
                         help=f"longest answer (default: {ANSWER_TOKENS})")
    options.add_argument("--most", type=int, metavar="N",
                         help="the first N requests a category, for a quick look (default: all)")
    options.add_argument("--dtype", default="float32", metavar="TYPE",
                         help="float32 (default), bfloat16 or float16")
    options.add_argument("--out", type=Path, metavar="FOLDER",
                         help="where to write (default: chat/NAME of the set among the runs)")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parser().parse_args(argv)
    out = chosen.out or runs_dir() / "chat" / chosen.benchmark
    started = time.monotonic()
    try:
        run = Run(chosen.models, chosen.benchmark, chosen.judge or chosen.models[0],
                  chosen.tokens, chosen.most, chosen.dtype)
        result = compared(run)
        print(result.text())
        write(result, run, out, time.monotonic() - started)
    except StudyError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
