"""The rows of penalties of singular values."""

import numpy as np

from penalties import Nuclear, Rank, kernels

from cases.case import Case, on_kernels


def nuclear_value(w: np.ndarray, s: float) -> float:
    return s * np.linalg.svd(w.reshape(-1, w.shape[-1]), compute_uv=False).sum()


def rank_value(w: np.ndarray, s: float) -> float:
    return s * float(np.linalg.matrix_rank(w.reshape(-1, w.shape[-1])))


CASES = [
    Case(
        "Nuclear",
        lambda s: Nuclear(s).on(kernels),
        value=lambda path, w, s: nuclear_value(w, s) if on_kernels(path) else 0.0,
        degree=1,
        even=False,
        local=False,
        separable=False,
        selects=on_kernels,
        has_kink=on_kernels,
    ),
    Case(
        "Rank",
        lambda s: Rank(s).on(kernels),
        value=lambda path, w, s: rank_value(w, s) if on_kernels(path) else 0.0,
        degree=0,
        convex=False,
        bounded=True,
        even=False,
        local=False,
        separable=False,
        slow=True,
        selects=on_kernels,
        has_kink=on_kernels,
    ),
]
