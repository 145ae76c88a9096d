"""Door to the runner that still opens, and says so plainly, where the environment is wrong."""

import sys

from lib.errors import EnvironmentProblem
from tools import environment


def _start() -> int:
    try:
        environment.check_python()
        found = environment.installed()
        wrong = environment.differences(environment.read_lock(), found)
        # Another version is the user's choice here; ./run_all.sh insists on the lock.
        environment.check_packages(item for item in wrong if item.found is None)
    except EnvironmentProblem as error:
        print(error, file=sys.stderr)
        return 2
    from tools.run.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_start())
