"""The rows of penalties of groups."""

import numpy as np

from penalties import (
    L1,
    MCP,
    ElasticNet,
    ExclusiveLasso,
    Grouped,
    GroupLasso,
    GroupLInf,
    LHalf,
    blocks,
    kernels,
    labels,
    leaves,
)

from cases.case import SHAPES, Case, on_kernels, tree
from cases.elementwise import l1_value, l2_value
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


def maximum_value(w: np.ndarray, s: float) -> float:
    return s * w.size / w.shape[-1] * np.abs(w).reshape(-1, w.shape[-1]).max(0).sum()


def exclusive_value(w: np.ndarray, s: float) -> float:
    return s * (np.abs(w).reshape(-1, w.shape[-1]).sum(0) ** 2).sum()


def before_last(w: np.ndarray) -> tuple[int, ...]:
    return tuple(range(w.ndim - 1))


LABELS = {path: np.arange(shape[-1]) % 2 for path, shape in SHAPES.items()}


def labelled(w: np.ndarray, path: str) -> list[np.ndarray]:
    return [w[..., LABELS[path] == label] for label in np.unique(LABELS[path])]


def labelled_mcp_value(path: str, w: np.ndarray, s: float) -> float:
    if not on_kernels(path):
        return 0.0
    return sum(mcp_sizes(np.sqrt((g**2).mean()), s) * g.size for g in labelled(w, path))


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
        slow=True,
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
        slow=True,
    ),
    Case(
        "GroupLasso_of_blocks",
        lambda s: GroupLasso(s, groups=blocks((1, None))).on(kernels),
        value=lambda path, w, s: group_value(w, s, before_last(w)) if on_kernels(path) else 0.0,
        dual=lambda path, v, ts: group_dual(v, ts if on_kernels(path) else 0.0, before_last(v)),
        degree=1,
        separable=False,
        selects=on_kernels,
        has_kink=on_kernels,
    ),
    Case(
        "GroupLasso_of_leaves",
        lambda s: GroupLasso(s, groups=leaves(), weights=2.0),
        value=lambda path, w, s: 2 * s * np.sqrt((w**2).sum()),
        dual=lambda path, v, ts: v * np.minimum(1, 2 * ts / np.sqrt((v**2).sum())),
        degree=1,
        separable=False,
        slow=True,
    ),
    Case(
        "Grouped(MCP)_of_labels",
        lambda s: Grouped(MCP(s), groups=labels(tree(LABELS))).on(kernels),
        value=labelled_mcp_value,
        selects=on_kernels,
        has_kink=on_kernels,
        convex=False,
        linear=False,
        bounded=True,
        separable=False,
        exchangeable=False,
        grid=False,
        any_shape=False,
        slow=True,
    ),
    Case(
        "GroupLInf",
        GroupLInf,
        value=lambda path, w, s: maximum_value(w, s),
        degree=1,
        bounded=True,  # by the largest of a group
        separable=False,
        slow=True,
    ),
    Case(
        "GroupLInf+L1",
        lambda s: GroupLInf(s) + L1(2 * s),
        value=lambda path, w, s: maximum_value(w, s) + l1_value(w, 2 * s),
        degree=1,
        separable=False,
        slow=True,
    ),
    Case(
        "ExclusiveLasso",
        ExclusiveLasso,
        value=lambda path, w, s: exclusive_value(w, s),
        degree=2,
        separable=False,
        kink_stays=False,
        slow=True,
    ),
]
