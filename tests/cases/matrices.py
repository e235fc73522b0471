"""The rows of penalties of singular values."""

import numpy as np

from penalties import Nuclear, kernels

from cases.case import Case, on_kernels


def nuclear_value(w: np.ndarray, s: float) -> float:
    return s * np.linalg.svd(w.reshape(-1, w.shape[-1]), compute_uv=False).sum()


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
]
