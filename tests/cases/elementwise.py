"""The rows of convex penalties of single weights."""

import numpy as np

from penalties import L1, L2, ElasticNet, Huber

from cases.case import Case, nowhere


def l1_value(w: np.ndarray, s: float) -> float:
    return s * np.abs(w).sum()


def l2_value(w: np.ndarray, s: float) -> float:
    return s * (w**2).sum()


def huber_value(w: np.ndarray, s: float, delta: float = 1.0) -> float:
    r = np.abs(w)
    return s * np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)).sum()


# v − prox_{t·R}(v) is t·prox_{R*/t}(v/t) by Moreau's identity: for a norm the projection on the ball
# of its dual norm, of radius t times the strength.


def l1_dual(v: np.ndarray, ts: float) -> np.ndarray:
    return np.clip(v, -ts, ts)


def l2_dual(v: np.ndarray, ts: float) -> np.ndarray:
    return v * 2 * ts / (1 + 2 * ts)


CASES = [
    Case(
        "L1",
        L1,
        value=lambda path, w, s: l1_value(w, s),
        dual=lambda path, v, ts: l1_dual(v, ts),
        degree=1,
    ),
    Case(
        "L2",
        L2,
        value=lambda path, w, s: l2_value(w, s),
        dual=lambda path, v, ts: l2_dual(v, ts),
        degree=2,
        has_kink=nowhere,
    ),
    Case(
        "ElasticNet",
        lambda s: ElasticNet(s, 2 * s),
        value=lambda path, w, s: l1_value(w, s) + l2_value(w, 2 * s),
    ),
    Case(
        "Huber",
        Huber,
        value=lambda path, w, s: huber_value(w, s),
        has_kink=nowhere,
        slow=True,
    ),
]
