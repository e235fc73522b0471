"""The rows of penalties of groups."""

import numpy as np

from penalties import MCP, ElasticNet, Grouped, GroupLasso, LHalf

from cases.case import Case
from cases.elementwise import l2_value
from cases.nonconvex import mcp_sizes

# `within` are the axes of a group.


def _within(w: np.ndarray, axis: int | tuple[int, ...]) -> tuple[int, ...]:
    across = np.atleast_1d(axis) % w.ndim
    return tuple(i for i in range(w.ndim) if i not in across)


def _groups(w: np.ndarray, axis: int | tuple[int, ...]) -> tuple[np.ndarray, float]:
    """The norms of the groups, kept as axes of length 1, and the root of a group's size."""
    within = _within(w, axis)
    norms = np.sqrt((w**2).sum(within, keepdims=True))
    return norms, np.sqrt(w.size / norms.size)


def group_value(w: np.ndarray, s: float, axis: int | tuple[int, ...] = -1) -> float:
    norms, root = _groups(w, axis)
    return s * root * norms.sum()


def group_mcp_value(w: np.ndarray, s: float) -> float:
    norms, root = _groups(w, -1)
    return root**2 * mcp_sizes(norms / root, s).sum()


def group_half_value(w: np.ndarray, s: float) -> float:
    norms, root = _groups(w, -1)
    return s * root**2 * np.sqrt(norms / root).sum()


def group_dual(v: np.ndarray, ts: float, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    norms, root = _groups(v, axis)
    return v * np.minimum(1, ts * root / norms)


CASES = [
    Case(
        "GroupLasso",
        GroupLasso,
        value=lambda path, w, s: group_value(w, s),
        dual=lambda path, v, ts: group_dual(v, ts),
        degree=1,
        separable=False,
    ),
    Case(
        "GroupLasso_of_stacked_layers",
        lambda s: GroupLasso(s, axis=(0, -1)),
        value=lambda path, w, s: group_value(w, s, (0, -1)),
        dual=lambda path, v, ts: group_dual(v, ts, (0, -1)),
        degree=1,
        separable=False,
    ),
    Case(
        "Grouped(MCP)",
        lambda s: Grouped(MCP(s)),
        value=lambda path, w, s: group_mcp_value(w, s),
        convex=False,
        linear=False,
        bounded=True,
        separable=False,
    ),
    Case(
        "Grouped(LHalf)",
        lambda s: Grouped(LHalf(s)),
        value=lambda path, w, s: group_half_value(w, s),
        degree=1 / 2,
        convex=False,
        separable=False,
        slow=True,
    ),
    Case(
        "Grouped(ElasticNet)",
        lambda s: Grouped(ElasticNet(s, 2 * s)),
        value=lambda path, w, s: group_value(w, s) + l2_value(w, 2 * s),
        separable=False,
    ),
]
