"""The rivals of the benchmarks solve what they say, and can be measured."""

import sys
from pathlib import Path

import jax
import pytest


@pytest.fixture
def rivals(monkeypatch):
    """The package, which is not installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    from benchmarks.rivals import check, convex

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield check, convex
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.slow
def test_each_solves_what_it_says(rivals):
    check, _ = rivals
    gaps = check.check_what_they_solve()
    assert len(gaps) == 19


def test_the_reference_is_a_solution(rivals):
    _, convex = rivals
    for groups in (False, True):
        given = convex.problem(5, 1.2, 0.15, groups=groups)
        assert given.margin > 0
        assert convex.score(given, given.solution) == 1
        assert convex.gap(given, 1.001 * given.solution) > 0
        assert convex.gap(given, 0.999 * given.solution) > 0
