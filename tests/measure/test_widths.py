"""`describe` printed where there is no terminal, and where there is one."""

import os
import pty
import subprocess
import sys

import pytest

from strict import STRICT

PATH = "a_long_name_of_a_leaf" * 12
PRINT = f"""
import jax.numpy as jnp
from penalties import L1, describe
print(describe(L1(1e-4), {{{PATH!r}: jnp.ones(2)}}))
"""


def printed(columns=None, terminal=False):
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    if columns is not None:
        env["COLUMNS"] = columns
    command = [sys.executable, *STRICT, "-c", PRINT]
    if not terminal:
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    ours, its = pty.openpty()
    with subprocess.Popen(command, env=env, stdout=its, stdin=its) as process:
        os.close(its)
        text = b""
        try:
            while read := os.read(ours, 65536):
                text += read
        except OSError:  # the terminal is closed with the process
            pass
        os.close(ours)
    assert process.returncode == 0
    return text.decode()


@pytest.mark.slow
def test_into_a_pipe_nothing_is_folded():
    lines = printed().splitlines()
    assert len(lines) == 5
    assert lines[2].startswith(f"{PATH}  (2,)")


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "terminal"), [("100", False), ("100", True), (None, True)])
def test_a_width_that_is_known_is_kept(columns, terminal):
    text = printed(columns, terminal)
    assert PATH not in text
    assert max(map(len, text.splitlines())) <= 100
