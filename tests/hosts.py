"""A script in several processes at once, as on several hosts: they all end, whatever becomes of one."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from strict import STRICT

# One CPU device each, sums over them by gloo; float64, in which rounding hides nothing.
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "",
    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    "JAX_ENABLE_X64": "1",
}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def outputs_on_hosts(count: int, script: Path | str, *args: Any, seconds: float = 60) -> list[str]:
    """What each process printed; each ran the script with the address, `count`, its index, and `args`.

    Each process has a group of its own. The first that fails, or the time limit, ends them all, and what
    they have started.

    Raises:
        AssertionError: a process failed, or they took longer than `seconds`; with all that they printed.
    """
    address = f"127.0.0.1:{free_port()}"
    processes = [
        subprocess.Popen(
            [sys.executable, *STRICT, str(script), address, str(count), str(index), *map(str, args)],
            env=os.environ | SETTINGS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for index in range(count)
    ]
    try:
        return _outputs(processes, time.monotonic() + seconds)
    finally:
        for process in processes:
            end_group(process)


def _outputs(processes: list[subprocess.Popen], deadline: float) -> list[str]:
    """What they print, read as it comes, for a full pipe would stop them."""
    printed = {process.stdout: bytearray() for process in processes}
    with selectors.DefaultSelector() as open_pipes:
        for process in processes:
            open_pipes.register(process.stdout, selectors.EVENT_READ, process)
        failed = ""
        while open_pipes.get_map() and not failed:
            for key, _ in open_pipes.select(timeout=max(0.0, deadline - time.monotonic())):
                if data := os.read(key.fd, 65536):
                    printed[key.fileobj] += data
                    continue
                open_pipes.unregister(key.fileobj)
                if code := key.data.wait():
                    failed = f"process {processes.index(key.data)} ended with {code}"
            if time.monotonic() >= deadline:
                failed = "the time is over"
    outputs = [printed[process.stdout].decode(errors="replace") for process in processes]
    assert not failed, "\n".join([failed, *(f"--- {i}:\n{text}" for i, text in enumerate(outputs))])
    return outputs


def end_group(process: subprocess.Popen) -> None:
    """Kills the process and what it has started, if they are there still."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
