"""One measurement in a new process, in which nothing is traced or compiled yet."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable


def seconds_in_new_process(module: str, what: str, leaves: int) -> float:
    """What `answer` prints there."""
    command = [sys.executable, "-m", module, what, str(leaves)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def answer(measured: Callable[[str, int], float]) -> None:
    """The main of a module that is asked so: prints `measured(what, leaves)`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("leaves", type=int)
    asked = parser.parse_args()
    print(json.dumps(measured(asked.what, asked.leaves)))
