"""What a run measured, on what and with which versions, as JSON: `--save FILE` of every benchmark."""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("penalties", "jax", "jaxlib", "flax", "optax", "keras", "numpy")


@dataclass(frozen=True)
class Row:
    """What was measured of one thing: numbers by name, under the title of their table."""

    table: str
    what: str
    numbers: dict[str, float]


def add_save(parser: argparse.ArgumentParser) -> None:
    """The option that every benchmark has."""
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="also write JSON, for `python -m benchmarks.compare`"
    )


def save(path: Path | None, rows: Iterable[Row]) -> None:
    """Writes the rows, and what they were measured on, if there is a file to write to."""
    if path is not None:
        path.write_text(json.dumps({"on": machine(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def load(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """What was measured on, and the rows.

    Raises:
        ValueError: the file is not one that `save` wrote.
    """
    try:
        saved = json.loads(path.read_text())
        return saved["on"], [Row(**row) for row in saved["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} was not written by `--save` of a benchmark: {error!r}") from error


def machine() -> dict[str, Any]:
    """What the numbers are of: device, versions, and the commit where there is one."""
    import jax  # not for comparing

    devices = jax.devices()
    return {
        "device": f"{len(devices)} × {devices[0].device_kind}",
        "cpu": f"{os.cpu_count()} × {_cpu()}",
        "python": platform.python_version(),
        "commit": _commit(),
        **{name: _version(name) for name in PACKAGES},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
