"""Proxes of neighbours, sorted weights and matrices, beside those of PyProximal and skglm, and their growth.

python -m benchmarks.proxes             two minutes on two cores; needs `pip install -e ".[peers]"`
python -m benchmarks.proxes --quick     small sizes, to see that it runs

PyProximal's total variation is iterative: it is given the steps at which it agrees to 1e-3.
"""

import argparse
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pyproximal
from skglm.penalties import SLOPE as SkglmSLOPE

from benchmarks.timing import Ratio, medians, show
from penalties import SLOPE, Nuclear, Penalty, TotalVariation

_prox = jax.jit(lambda penalty, v: penalty.prox(v))


def beside(
    penalty: Penalty, v: np.ndarray, peer: str, theirs, what: str, tolerance: float, repeats: int
) -> Ratio:
    """The two medians, after a check that both compute the same."""
    array = jnp.asarray(v)
    np.testing.assert_allclose(_prox(penalty, array), np.reshape(theirs(), v.shape), atol=tolerance)
    times = medians({"ours": lambda: _prox(penalty, array), peer: theirs}, repeats)
    return Ratio(what, peer, times["ours"], times[peer])


def peers(n: int, side: int, repeats: int) -> list[Ratio]:
    """One line, one vector and one matrix."""
    rng = np.random.default_rng(0)
    line = np.repeat(rng.normal(size=n // 50), 50).astype(np.float32) + 0.1 * rng.normal(size=n // 50 * 50)
    line = line.astype(np.float32)
    iterative = pyproximal.TV(dims=(line.size,), sigma=0.5, niter=1000, rtol=1e-9)
    weights, strengths = rng.normal(size=n), np.linspace(2, 0.1, n)
    by_skglm = SkglmSLOPE(strengths)
    matrix = rng.normal(size=(side, side)).astype(np.float32)
    by_pyproximal = pyproximal.Nuclear(matrix.shape, 1.0)
    return [
        beside(
            TotalVariation(0.5),
            line,
            "PyProximal",
            lambda: iterative.prox(line, 1.0),
            f"TotalVariation, {line.size:,}",
            1e-3,
            repeats,
        ),
        beside(
            SLOPE(strengths.astype(np.float32)),
            weights.astype(np.float32),
            "skglm",
            lambda: by_skglm.prox_vec(weights, 1.0),
            f"SLOPE, {n:,}",
            1e-4,
            repeats,
        ),
        beside(
            Nuclear(1.0),
            matrix,
            "PyProximal",
            lambda: by_pyproximal.prox(matrix.ravel(), 1.0),
            f"Nuclear, {side} × {side}",
            1e-3,
            repeats,
        ),
    ]


def growth(sizes: list[int], repeats: int) -> list[Ratio]:
    """Twice the length beside the length: 2 is linear."""
    rng = np.random.default_rng(0)
    rows = []
    for name in ("TotalVariation", "SLOPE"):
        calls = {}
        for n in sizes:
            v = jnp.asarray(rng.normal(size=n).cumsum() if name == "TotalVariation" else rng.normal(size=n))
            v = v.astype(jnp.float32)
            penalty = TotalVariation(1.0) if name == "TotalVariation" else SLOPE(jnp.linspace(2, 0.1, n))
            calls[f"n = {n:,}"] = lambda penalty=penalty, v=v: _prox(penalty, v)
        times = medians(calls, repeats)
        rows += [
            Ratio(f"{name}, {large}", small, times[large], times[small])
            for small, large in itertools.pairwise(calls)
        ]
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick = parser.parse_args().quick
    show("proxes beside peers", peers(*((1000, 20, 3) if quick else (20_000, 256, 11))))
    show("growth", growth([1000, 2000] if quick else [50_000, 100_000, 200_000, 400_000], 3 if quick else 11))
