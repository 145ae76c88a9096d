"""Door to the runner that still opens, and says so plainly, where the environment is wrong."""

import sys

# Only these two modules are certain to load in an older Python or without any package.
from lib import environment
from lib.errors import EnvironmentProblem


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
    from lib.runner.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_start())
