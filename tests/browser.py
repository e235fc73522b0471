"""A real browser for the tests of a page: Chromium, headless, over the pipe of its own protocol.

Source: https://chromedevtools.github.io/devtools-protocol, messages of JSON that end with a zero byte.
"""

import contextlib
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import IO

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
PATIENCE = 120  # seconds after which it is ended, and what waits for it fails


class Browser:
    """One page: what it shows, what it asked for, and what went wrong in it."""

    def __init__(self, to: IO[bytes], answers: IO[bytes]):
        self._to, self._from = to, answers
        self._id, self._session = 0, None
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **params) -> dict:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        self._to.write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._id:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, file: Path, *, fragment: str = "") -> None:
        """Loads the file anew, and waits until its scripts have run."""
        self._load("about:blank")  # from the same file another fragment would load nothing
        self.events.clear()
        self._load(file.as_uri() + fragment)

    def _load(self, url: str) -> None:
        loader = self.call("Page.navigate", url=url)["loaderId"]
        loaded = {"loaderId": loader, "name": "load"}
        while not any(loaded.items() <= event["params"].items() for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str):
        """The value of the expression in the page; of a promise, what it comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def requested(self) -> list[str]:
        """The addresses asked for since the page was opened, its own among them."""
        return [
            e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[dict]:
        """Exceptions, and what was refused."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event["method"] in kinds]

    def _read(self) -> dict:
        message = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "the browser has ended"
            message += byte
        return json.loads(message)


@contextlib.contextmanager
def browser(folder: Path):
    """A browser whose settings are in this folder; it ends with the block."""
    assert PROGRAM
    reads, sent = os.pipe()
    received, writes = os.pipe()
    command = f'exec "$0" "$@" 3<&{reads} 4>&{writes}'  # the descriptors it expects
    flags = [*FLAGS, f"--user-data-dir={folder}", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", command, PROGRAM, *flags],
        pass_fds=(reads, writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reads)
    os.close(writes)
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        with os.fdopen(sent, "wb", buffering=0) as to, os.fdopen(received, "rb") as answers:
            yield Browser(to, answers)
        process.wait()  # it ends, and its children with it, when the pipe does
    finally:
        patience.cancel()
        process.kill()
        process.wait()
