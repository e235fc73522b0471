"""The rows of penalties of weights in the order of their sizes."""

import numpy as np

from penalties import OSCAR

from cases.case import Case


def slope_value(w: np.ndarray, strengths: np.ndarray) -> float:
    return float(np.sort(np.abs(w).ravel())[::-1] @ strengths)


def oscar_strengths(count: int, l1: float, l2: float) -> np.ndarray:
    return l1 + l2 * np.arange(count)[::-1]


CASES = [
    Case(
        "OSCAR",
        lambda s: OSCAR(s, 0.5 * s),
        value=lambda path, w, s: slope_value(w, oscar_strengths(w.size, s, 0.5 * s)),
        degree=1,
        separable=False,
        slow=True,
    ),
]
