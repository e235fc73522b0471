"""Training that is killed again and again: does what the checkpoints hold survive?

A child trains, saves a checkpoint every few steps, and writes into a journal what it has saved and restored,
once that is on disk. It is killed (SIGKILL) at a random moment, in a restore, in a step or in a save, and the
next one goes on from the latest checkpoint. The parent trains the same, undisturbed.
"""

import hashlib
import multiprocessing
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from rich.progress import track

from benchmarks.small_run import start, step
from benchmarks.timing import console

BETWEEN_SAVES, LONGEST_LIFE, PATIENCE = 5, 1.0, 120.0  # steps, seconds


@dataclass(frozen=True)
class Crashes:
    """What became of the checkpoints.

    Attributes:
        cycles: how often a child was killed.
        restores: how often one went on from a checkpoint.
        saves: checkpoints that were on disk before a kill.
        in_a_save: kills that left half a checkpoint behind.
        lost: restores from an older step than one that was on disk.
        torn: saves and restores of anything but what the undisturbed run has at this step, to the last bit.
    """

    cycles: int
    restores: int
    saves: int
    in_a_save: int
    lost: int
    torn: int


def crashes(cycles: int, folder: Path) -> Crashes:
    """Kills a child that often; checkpoints and journal are in the folder."""
    chance, in_a_save, half = random.Random(0), 0, set[tuple[str, int]]()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imports take longer than all the rest
    first = context.Process(target=compile_once, args=(folder,))
    first.start()
    first.join()
    for _ in track(range(cycles), "kills", console=console):
        ready = context.Event()
        child = context.Process(target=train_and_save, args=(folder, ready))
        child.start()
        try:
            if not ready.wait(PATIENCE):
                raise RuntimeError(
                    f"a child was not ready after {PATIENCE} s, its exit code is {child.exitcode}"
                )
            child.join(chance.uniform(0, LONGEST_LIFE))
            if child.exitcode is not None:
                raise RuntimeError(f"a child ended by itself, with exit code {child.exitcode}")
        finally:
            child.kill()
            child.join()
        half_now = {(path.name, path.stat().st_ino) for path in (folder / "checkpoints").glob("*tmp*")}
        in_a_save += bool(half_now - half)
        half = half_now
    return _judge(cycles, in_a_save, (folder / "journal").read_text())


def compile_once(folder: Path) -> None:
    """Compiles what a child runs, or loads what another process has compiled."""
    for option, value in (
        ("jax_compilation_cache_dir", str(folder / "compiled")),
        ("jax_persistent_cache_min_compile_time_secs", 0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(option, value)
    jax.block_until_ready(step(*start()))


def train_and_save(folder: Path, ready: Any) -> None:
    """The child: goes on from the latest checkpoint, for ever."""
    compile_once(folder)
    params, state = start()
    options = ocp.CheckpointManagerOptions(max_to_keep=3)
    with (
        ocp.CheckpointManager(folder / "checkpoints", options=options) as manager,
        (folder / "journal").open("a") as file,
    ):

        def note(what: str, at: int, tree: Any) -> None:
            print(what, at, digest(tree), file=file, flush=True)

        ready.set()
        at = manager.latest_step()
        if at is not None:
            params, state = manager.restore(at, args=ocp.args.StandardRestore((params, state)))
            note("restored", at, (params, state))
        while True:
            for _ in range(BETWEEN_SAVES):
                params, state = step(params, state)
            at = int(state.penalty_step)
            manager.save(at, args=ocp.args.StandardSave((params, state)))
            manager.wait_until_finished()
            note("saved", at, (params, state))


def digest(tree: Any) -> str:
    """Of all bits of a tree."""
    together = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        together.update(np.asarray(leaf).tobytes())
    return together.hexdigest()


def _judge(cycles: int, in_a_save: int, journal: str) -> Crashes:
    """Against the undisturbed run. A last line without its end is none: the child died writing it."""
    lines = [line.split() for line in journal.split("\n")[:-1]]
    lines = [(what, int(at), found) for what, at, found in lines]
    expected = _undisturbed({at for _, at, _ in lines})
    on_disk = restores = saves = lost = torn = 0
    for what, at, found in lines:
        torn += found != expected[at]
        if what == "saved":
            saves += 1
        else:
            restores += 1
            lost += at < on_disk
        on_disk = max(on_disk, at)
    return Crashes(cycles, restores, saves, in_a_save, lost, torn)


def _undisturbed(steps: set[int]) -> dict[int, str]:
    """The digests at these steps of one run from the start."""
    digests = {}
    params, state = start()
    for at in range(1, max(steps, default=0) + 1):
        params, state = step(params, state)
        if at in steps:
            digests[at] = digest((params, state))
    return digests
