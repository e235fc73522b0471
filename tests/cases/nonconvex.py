"""The rows of nonconvex penalties of single weights."""

import numpy as np

from penalties import MCP, SCAD, LogSum

from cases.case import Case


def mcp_sizes(r: np.ndarray, s: float, gamma: float = 3.0) -> np.ndarray:
    return np.where(r <= gamma * s, s * r - r**2 / (2 * gamma), gamma * s**2 / 2)


def scad_sizes(r: np.ndarray, s: float, a: float = 3.7) -> np.ndarray:
    between = (2 * a * s * r - r**2 - s**2) / (2 * (a - 1))
    return np.where(r <= s, s * r, np.where(r <= a * s, between, s**2 * (a + 1) / 2))


def log_sum_value(w: np.ndarray, s: float, epsilon: float) -> float:
    return s * np.log(1 + np.abs(w) / epsilon).sum()


CASES = [
    Case(
        "MCP",
        MCP,
        value=lambda path, w, s: float(mcp_sizes(np.abs(w), s).sum()),
        convex=False,
        linear=False,
        bounded=True,
    ),
    Case(
        "SCAD",
        SCAD,
        value=lambda path, w, s: float(scad_sizes(np.abs(w), s).sum()),
        convex=False,
        linear=False,
        bounded=True,
        slow=True,
    ),
    Case(
        "LogSum",
        lambda s: LogSum(s, epsilon=1.5),
        value=lambda path, w, s: log_sum_value(w, s, 1.5),
        convex=False,
        slow=True,
    ),
]
