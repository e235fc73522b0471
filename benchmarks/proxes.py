"""Proxes beside a plain pass over the weights, beside those of peers, and their growth.

python -m benchmarks.proxes             ten minutes on two cores; needs `pip install -e ".[peers]"`
python -m benchmarks.proxes --quick     small sizes, to see that it runs
python -m benchmarks.proxes passes      one part: passes, peers, growth
python -m benchmarks.proxes --save FILE    and python -m benchmarks.compare FILE ANOTHER

Before any is timed it is checked that both compute the same. PyProximal's total variation is iterative, and
given the steps at which it agrees to 1e-3; its L0 cuts off at σ, and is given √(2λ) for it. jaxopt's group
lasso is of one group, and mapped over the groups here. None of the peers has GroupLInf and ExclusiveLasso.
"""

import argparse
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import pyproximal
import skglm.penalties
from skglm.utils.jit_compilation import compiled_clone
from skglm.utils.prox_funcs import _prox_vec

from benchmarks.results import Row, add_save, save
from benchmarks.timing import Ratio, medians, show
from penalties import (
    L0,
    L1,
    MCP,
    SCAD,
    SLOPE,
    ElasticNet,
    ExclusiveLasso,
    GroupLasso,
    GroupLInf,
    Huber,
    LHalf,
    LogSum,
    LTwoThirds,
    Nuclear,
    Penalty,
    Sparse,
    TotalVariation,
)

PARTS = ("passes", "peers", "growth")
# So weak that thousands of proxes, one after the other, leave the weights what they are.
WEAK = 1e-7
ELEMENTWISE = (
    L1(WEAK),
    ElasticNet(WEAK, WEAK),
    Huber(WEAK),
    MCP(WEAK),
    SCAD(WEAK),
    LogSum(WEAK, epsilon=0.1),
    L0(WEAK),
    LHalf(WEAK),
    LTwoThirds(WEAK),
)
GROUPS = (GroupLasso(WEAK), GroupLasso(WEAK, axis=0), GroupLInf(WEAK), ExclusiveLasso(WEAK))

_prox = jax.jit(lambda penalty, v: penalty.prox(v))
_prox_in_place = jax.jit(lambda penalty, v: penalty.prox(v), donate_argnums=1)
_pass_in_place = jax.jit(lambda factor, v: factor * v, donate_argnums=1)


def handing_on(step: Callable[..., Any], number: Any, v: jax.Array) -> Callable[[], Any]:
    """A step that gets what it returned, and returns the next in the same memory."""
    held = jnp.copy(v)

    def once() -> Any:
        nonlocal held
        held = step(number, held)
        return held

    return once


def passes(weights: int, repeats: int) -> list[Row]:
    """The prox of many weights in one matrix, in place, beside one product of each with a number."""
    width = 10_000 if weights > 10**6 else 100
    v = jax.random.normal(jax.random.key(0), (weights // width, width))
    ratios = []
    for goal, penalties in ((1.2, ELEMENTWISE), (2.0, GROUPS)):
        for penalty in penalties:
            times = medians(
                {
                    "ours": handing_on(_prox_in_place, penalty, v),
                    "pass": handing_on(_pass_in_place, jnp.float32(1 - 1e-7), v),
                },
                repeats,
            )
            what = type(penalty).__name__ + (", axis=0" if getattr(penalty, "axis", -1) == 0 else "")
            ratios.append(Ratio(what, "a pass in place", times["ours"], times["pass"], goal))
    return show(f"proxes of {v.size:,} float32 weights", ratios)


def beside(
    what: str,
    penalty: Penalty,
    v: np.ndarray,
    peer: str,
    theirs: Callable[[], Any],
    repeats: int,
    **close: float,
) -> Ratio:
    """The two medians, after a check that both compute the same."""
    array = jnp.asarray(v)
    np.testing.assert_allclose(_prox(penalty, array), np.reshape(theirs(), v.shape), **close)
    times = medians({"ours": lambda: _prox(penalty, array), peer: theirs}, repeats)
    return Ratio(f"{what}, {' × '.join(f'{n:,}' for n in v.shape)}", peer, times["ours"], times[peer])


def by_jaxopt(prox: Callable[..., Any], v: np.ndarray, *numbers: Any) -> Callable[[], Any]:
    compiled, array = jax.jit(prox), jnp.asarray(v)
    return lambda: compiled(array, *numbers)


def by_skglm(penalty: Any, v: np.ndarray) -> Callable[[], Any]:
    """Its prox of one weight, compiled, in its own loop over all."""
    compiled, wide = compiled_clone(penalty), v.astype(np.float64)
    return lambda: _prox_vec(np.zeros_like(wide), wide, compiled, 1.0)


def peers(n: int, rows: int, side: int, repeats: int) -> list[Row]:
    """Single weights, rows as groups, a line, and a matrix."""
    rng = np.random.default_rng(0)
    v = (2 * rng.normal(size=n)).astype(np.float32)
    # Where a prox jumps, a weight within a rounding of the jump is on either side of it: none is left there.
    for jump in (np.sqrt(1.4), 1.5 * 0.7 ** (2 / 3), 2 * (2 / 3 * 0.7) ** 0.75):
        v = v[np.abs(np.abs(v) - jump) > 1e-4]
    v = v[: len(v) // 1000 * 1000]  # as kernels are: XLA on CPU makes no vectors of an odd number of weights
    matrix = v[: rows * 100].reshape(rows, 100)

    def pyproximals(operator: Any) -> Callable[[], Any]:
        return lambda: operator.prox(v, 1.0)

    singles = {
        ("L1", "jaxopt"): (L1(0.7), by_jaxopt(jaxopt.prox.prox_lasso, v, 0.7)),
        ("L1", "PyProximal"): (L1(0.7), pyproximals(pyproximal.L1(sigma=0.7))),
        ("ElasticNet", "jaxopt"): (
            ElasticNet(0.7, 0.35),
            by_jaxopt(jaxopt.prox.prox_elastic_net, v, (0.7, 1.0)),
        ),
        ("SCAD", "PyProximal"): (SCAD(0.7), pyproximals(pyproximal.SCAD(0.7, 3.7))),
        ("SCAD", "skglm"): (SCAD(0.7), by_skglm(skglm.penalties.SCAD(0.7, 3.7), v)),
        ("MCP", "skglm"): (MCP(0.7), by_skglm(skglm.penalties.MCPenalty(0.7, 3.0), v)),
        ("LogSum", "PyProximal"): (
            LogSum(0.7 / np.log(1.5), epsilon=2.0),
            pyproximals(pyproximal.Log(0.7, 0.5)),
        ),
        ("LogSum", "skglm"): (
            LogSum(0.7, epsilon=1.5),
            by_skglm(skglm.penalties.LogSumPenalty(0.7, 1.5), v),
        ),
        ("L0", "PyProximal"): (L0(0.7), pyproximals(pyproximal.L0(sigma=np.sqrt(1.4)))),
        ("LHalf", "skglm"): (LHalf(0.7), by_skglm(skglm.penalties.L0_5(0.7), v)),
        ("LTwoThirds", "skglm"): (LTwoThirds(0.7), by_skglm(skglm.penalties.L2_3(0.7), v)),
        ("Sparse", "PyProximal"): (Sparse(n // 10), pyproximals(pyproximal.L0Ball(n // 10))),
    }
    ratios = [
        beside(what, penalty, v, peer, theirs, repeats, rtol=1e-4, atol=1e-5)
        for (what, peer), (penalty, theirs) in singles.items()
    ]

    of_rows = GroupLasso(0.7, axis=0, weights=1.0)
    columns, operator = matrix.T.ravel(), pyproximal.L21(ndim=100, sigma=0.7)
    mapped = by_jaxopt(jax.vmap(lambda row: jaxopt.prox.prox_group_lasso(row, 0.7)), matrix)
    line = np.repeat(rng.normal(size=side * 2), 50) + 0.1 * rng.normal(size=side * 100)
    line = line.astype(np.float32)
    iterative = pyproximal.TV(dims=(line.size,), sigma=0.5, niter=1000, rtol=1e-9)
    wide, strengths = rng.normal(size=side * 100), np.linspace(2, 0.1, side * 100)
    sorted_by_skglm = skglm.penalties.SLOPE(strengths)
    square = rng.normal(size=(side, side)).astype(np.float32)
    nuclear = pyproximal.Nuclear(square.shape, 1.0)
    ratios += [
        beside("GroupLasso", of_rows, matrix, "jaxopt", mapped, repeats, atol=1e-5),
        beside(
            "GroupLasso",
            of_rows,
            matrix,
            "PyProximal",
            lambda: operator.prox(columns, 1.0).reshape(100, rows).T,
            repeats,
            atol=1e-5,
        ),
        beside(
            "TotalVariation",
            TotalVariation(0.5),
            line,
            "PyProximal",
            lambda: iterative.prox(line, 1.0),
            repeats,
            atol=1e-3,
        ),
        beside(
            "SLOPE",
            SLOPE(strengths.astype(np.float32)),
            wide.astype(np.float32),
            "skglm",
            lambda: sorted_by_skglm.prox_vec(wide, 1.0),
            repeats,
            atol=1e-4,
        ),
        beside(
            "Nuclear",
            Nuclear(1.0),
            square,
            "PyProximal",
            lambda: nuclear.prox(square.ravel(), 1.0),
            repeats,
            atol=1e-3,
        ),
    ]
    return show("proxes beside peers", ratios)


def growth(sizes: list[int], repeats: int) -> list[Row]:
    """Twice the length beside the length: 2 is linear."""
    rng = np.random.default_rng(0)
    ratios = []
    for name in ("TotalVariation", "SLOPE"):
        calls = {}
        for n in sizes:
            v = jnp.asarray(rng.normal(size=n).cumsum() if name == "TotalVariation" else rng.normal(size=n))
            v = v.astype(jnp.float32)
            penalty = TotalVariation(1.0) if name == "TotalVariation" else SLOPE(jnp.linspace(2, 0.1, n))
            calls[f"n = {n:,}"] = lambda penalty=penalty, v=v: _prox(penalty, v)
        times = medians(calls, repeats)
        ratios += [
            Ratio(f"{name}, {large}", small, times[large], times[small])
            for small, large in itertools.pairwise(calls)
        ]
    return show("growth", ratios)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"which: {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    add_save(parser)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}: choose from {', '.join(PARTS)}")
    parts, rows = asked.parts or PARTS, list[Row]()
    if "passes" in parts:
        rows += passes(*((100_000, 3) if asked.quick else (50_000_000, 11)))
    if "peers" in parts:
        rows += peers(*((10_000, 50, 20, 3) if asked.quick else (1_000_000, 5_000, 256, 11)))
    if "growth" in parts:
        rows += growth(
            [1000, 2000] if asked.quick else [50_000, 100_000, 200_000, 400_000], 3 if asked.quick else 11
        )
    save(asked.save, rows)
