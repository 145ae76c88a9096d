"""What the study runs on: packages, hardware and commit, read without importing the heavy ones."""

import os
import platform
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lib.study import paths

NAME = re.compile(r"^[A-Za-z0-9._-]+")
CGROUP = Path("/sys/fs/cgroup")
ARITHMETIC = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that decide how sums are rounded, as another processor does."""


def required_packages() -> list[str]:
    """Names of the packages that ``pyproject.toml`` asks for."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [NAME.match(line)[0] for line in project["project"]["dependencies"]]


def versions() -> dict[str, str | None]:
    """Version of Python and of each required package; None where one is not installed."""
    return {"python": platform.python_version(), **installed(required_packages())}


def installed(names: Iterable[str]) -> dict[str, str | None]:
    """Version of each of these packages; None where one is not installed."""
    found = dict.fromkeys(names)
    for name in found:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, GPU (None without one) and operating system; and
    `ARITHMETIC`, where it is set."""
    import psutil

    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "arithmetic": {name: os.environ[name] for name in ARITHMETIC if name in os.environ},
    }


def cores(cgroup: Path = CGROUP) -> int:
    """Cores that this process may use: those it is bound to, or fewer by a container's quota."""
    return min([bound_cores(), *(max(1, round(quota)) for quota in _quotas(cgroup))])


def bound_cores() -> int:
    """Cores that this process is bound to, which is what libraries count."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def keep_to_quota() -> None:
    """For libraries, such as torch, that count the host's cores: how many a container grants."""
    if cores() < bound_cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def _quotas(cgroup: Path) -> Iterator[float]:
    """Cores' worth of time in each period, in control groups of version 2 and of version 1."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
            if float(quota) > 0:
                yield float(quota) / float(period)
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue


def commit() -> dict[str, Any] | None:
    """Commit of the repository and whether files differ from it; None outside git."""
    head = _output(["git", "-C", str(paths.ROOT), "rev-parse", "HEAD"])
    if head is None:
        return None
    status = _output(["git", "-C", str(paths.ROOT), "status", "--porcelain"])
    return {"hash": head, "dirty": bool(status)}


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if named:
            return named[1]
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    return _output(query) or None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
