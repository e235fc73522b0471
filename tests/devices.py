"""Scripts on eight devices, each in a process of its own: how many there are is fixed before JAX starts."""

import os
import subprocess
import sys
from pathlib import Path

from strict import STRICT


def output_on_eight_devices(script: str) -> str:
    """What the script prints, and if it fails its errors; it is ended after four minutes."""
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", script],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parent,  # whose modules the script can import
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr
