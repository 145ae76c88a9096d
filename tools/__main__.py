"""Door that still opens, and says so plainly, where Python is old or a package is missing."""

import sys

from lib.errors import EnvironmentProblem
from tools import environment


def main() -> int:
    """Check the environment, then hand over to the command line; returns the exit code."""
    try:
        environment.check_python()
        found = environment.installed()
        wrong = environment.differences(environment.read_lock(), found)
        # Another version is the user's choice here; ./run_all.sh insists on the lock.
        environment.check_packages(item for item in wrong if item.found is None)
    except EnvironmentProblem as error:
        print(error, file=sys.stderr)
        return 2
    from tools.cli import app

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without the signs of a title
    return app(prog_name="side-effects")


if __name__ == "__main__":
    sys.exit(main())
