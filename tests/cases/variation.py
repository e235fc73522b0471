"""The rows of penalties of neighbours along an axis."""

from typing import Any

import numpy as np

from penalties import L1, SquaredDifferences, TotalVariation

from cases.case import Case, nowhere
from cases.elementwise import l1_value


def variation_value(w: np.ndarray, s: float, axis: int = -1) -> float:
    return s * np.abs(np.diff(w, axis=axis)).sum()


def squares_value(w: np.ndarray, s: float, axis: int = -1) -> float:
    return s * (np.diff(w, axis=axis) ** 2).sum()


def squares_dual(w: np.ndarray, ts: float, axis: int = -1) -> np.ndarray:
    w = np.moveaxis(w, axis, -1)
    differences = np.diff(np.eye(w.shape[-1]), axis=0)
    solved = w @ np.linalg.inv(np.eye(w.shape[-1]) + 2 * ts * differences.T @ differences)
    return np.moveaxis(w - solved, -1, axis)


# Neighbours pull at a weight, also where it is zero.
NEIGHBOURS: dict[str, Any] = {"even": False, "exchangeable": False, "local": False, "separable": False}

CASES = [
    Case(
        "fused_lasso",
        lambda s: L1(s) + TotalVariation(2 * s),
        value=lambda path, w, s: l1_value(w, s) + variation_value(w, 2 * s),
        degree=1,
        slow=True,
        **NEIGHBOURS,
    ),
    Case(
        "SquaredDifferences",
        SquaredDifferences,
        value=lambda path, w, s: squares_value(w, s),
        dual=lambda path, v, ts: squares_dual(v, ts),
        degree=2,
        has_kink=nowhere,
        slow=True,
        **NEIGHBOURS,
    ),
]
