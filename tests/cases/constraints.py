"""The rows of constraints: sets of weights, of leaves, of units, of patterns and of matrices."""

import numpy as np

from penalties import (
    PSD,
    Box,
    GloballySparse,
    L1Ball,
    L2Ball,
    LInfBall,
    MaxNorm,
    MinMaxNorm,
    NOfM,
    NonNegative,
    Orthonormal,
    Simplex,
    Sparse,
    UnitNorm,
    kernels,
)

from cases.case import Case, nowhere, on_kernels

ROUNDING = 1e-12


def inside(holds) -> float:
    return 0.0 if np.all(holds) else np.inf


def unit_norms(w: np.ndarray) -> np.ndarray:
    return np.sqrt((w.reshape(-1, w.shape[-1]) ** 2).sum(0))


def is_orthonormal(w: np.ndarray) -> bool:
    columns = w.reshape(-1, w.shape[-1])
    columns = columns if len(columns) >= w.shape[-1] else columns.T
    return np.allclose(columns.T @ columns, np.eye(columns.shape[1]), rtol=0, atol=ROUNDING)


def is_psd(w: np.ndarray) -> bool:
    turned = np.swapaxes(w, -1, -2)
    return np.allclose(w, turned, rtol=0, atol=ROUNDING) and np.all(
        np.linalg.eigvalsh((w + turned) / 2) >= -ROUNDING
    )


def on_dense(path: str) -> bool:
    return path.startswith("dense")


def on_scan(path: str) -> bool:
    return path.startswith("scan")


def constraint(name, make, holds, **known) -> Case:
    """A row, of which `holds` says whether a leaf is in the set, given the strength."""
    selects = known.get("selects", lambda path: True)
    known = {"bounded": True, "has_kink": nowhere, "separable": False, **known}
    return Case(
        name,
        make,
        value=lambda path, w, s: inside(holds(w, s)) if selects(path) else 0.0,
        constraint=True,
        **known,
    )


CASES = [
    constraint(
        "NonNegative",
        lambda s: NonNegative(),
        lambda w, s: w >= 0,
        even=False,
        separable=True,
    ),
    constraint(
        "Box",
        lambda s: Box(-s, 2 * s),
        lambda w, s: (w >= -s - ROUNDING) & (w <= 2 * s + ROUNDING),
        even=False,
        separable=True,
        refuses=None,  # its numbers may be negative, and infinite
        slow=True,
    ),
    constraint(
        "LInfBall",
        LInfBall,
        lambda w, s: np.abs(w) <= s + ROUNDING,
        separable=True,
        slow=True,
    ),
    constraint("L1Ball", L1Ball, lambda w, s: np.abs(w).sum() <= s + ROUNDING, slow=True),
    constraint("L2Ball", L2Ball, lambda w, s: np.sqrt((w**2).sum()) <= s + ROUNDING, slow=True),
    constraint(
        "Simplex",
        Simplex,
        lambda w, s: np.all(w >= 0) and abs(w.sum() - s) <= ROUNDING,
        even=False,
        holds_zero=False,
        grid=False,
        slow=True,
    ),
    constraint("MaxNorm", MaxNorm, lambda w, s: unit_norms(w) <= s + ROUNDING, slow=True),
    constraint(
        "MinMaxNorm",
        lambda s: MinMaxNorm(s, 2 * s),
        lambda w, s: (unit_norms(w) >= s - ROUNDING) & (unit_norms(w) <= 2 * s + ROUNDING),
        convex=False,
        holds_zero=False,
        grid=False,  # of 0 there are two nearest points
        slow=True,
    ),
    constraint(
        "UnitNorm",
        lambda s: UnitNorm(),
        lambda w, s: np.abs(unit_norms(w) - 1) <= ROUNDING,
        convex=False,
        holds_zero=False,
        grid=False,
        slow=True,
    ),
    constraint(
        "Sparse",
        lambda s: Sparse(2),
        lambda w, s: np.count_nonzero(w) <= 2,
        convex=False,
        grid=False,
    ),
    constraint(
        "GloballySparse",  # of one leaf, for a row is told leaf by leaf; of several: test_globally_sparse.py
        lambda s: GloballySparse(2).on("scan/*"),
        lambda w, s: np.count_nonzero(w) <= 2,
        convex=False,
        grid=False,
        selects=on_scan,
        slow=True,
    ),
    constraint(
        "NOfM",
        lambda s: NOfM(1, 2).on("dense/*"),
        lambda w, s: np.count_nonzero(w.reshape(-1, 2), 1) <= 1,
        convex=False,
        grid=False,
        selects=on_dense,
        any_shape=False,
        slow=True,
    ),
    constraint(
        "Orthonormal",
        lambda s: Orthonormal().on(kernels),
        lambda w, s: is_orthonormal(w),
        convex=False,
        even=False,
        holds_zero=False,
        grid=False,
        selects=on_kernels,
        any_shape=False,
        slow=True,
    ),
    constraint(
        "PSD",
        lambda s: PSD().on("scan/*"),
        lambda w, s: is_psd(w),
        even=False,
        exchangeable=False,
        selects=on_scan,
        any_shape=False,
        slow=True,
    ),
]
