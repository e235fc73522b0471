"""The soak of the benchmarks, for a short time."""

import sys
from pathlib import Path

import jax
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def soak(monkeypatch):
    """The module, which is not installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    from benchmarks import soak

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield soak
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)


def test_long_runs_keep_memory_programs_and_zeros(soak):
    numbers = soak.many_steps(2000)
    assert numbers["steps"] == 2000
    assert numbers["compilations after a tenth"] == numbers["numbers that were not finite"] == 0
    assert numbers["peak memory at the end, MiB"] < numbers["peak memory after a tenth, MiB"] + 8
    assert numbers["features out of 16 that are zero"] == 12
    changed = soak.many_strengths(20)
    assert changed == {"changes": 20, "compilations": 0, "strengths that did not hold": 0}


def test_checkpoints_outlive_kills(soak, tmp_path):
    found = soak.crashes(2, tmp_path)
    assert found.cycles == 2
    assert found.lost == found.torn == 0
    assert found.restores + found.saves > 0
