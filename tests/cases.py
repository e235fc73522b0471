"""The table of penalties: every law in `test_laws.py` is tested on every row.

A new penalty is one more row. Its closed forms are in float64 NumPy and share nothing with the
library, so that they can serve as oracles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from penalties import L1, L2, MCP, ElasticNet, Grouped, GroupLasso, Huber, LogSum, Penalty, kernels

SHAPES = {"dense/kernel": (3, 2), "dense/bias": (2,), "scan/kernel": (2, 3, 2)}


def tree(leaves: dict[str, Any]) -> dict[str, Any]:
    """{"a/b": x} as {"a": {"b": x}}."""
    nested: dict[str, Any] = {}
    for path, leaf in leaves.items():
        owner, name = path.split("/")
        nested.setdefault(owner, {})[name] = leaf
    return nested


def flat(nested: dict[str, Any]) -> dict[str, np.ndarray]:
    """The leaves of such a tree by path, as float64 NumPy arrays."""
    return {
        f"{owner}/{name}": np.array(leaf, np.float64)
        for owner, leaves in nested.items()
        for name, leaf in leaves.items()
    }


def ravel(nested: dict[str, Any]) -> np.ndarray:
    """All weights of such a tree as one vector of float64, in a fixed order."""
    leaves = flat(nested)
    return np.concatenate([leaves[path].ravel() for path in SHAPES])


def unravel(vector: np.ndarray, dtype: Any) -> dict[str, Any]:
    """The tree that `ravel` made a vector of."""
    leaves, start = {}, 0
    for path, shape in SHAPES.items():
        size = int(np.prod(shape))
        leaves[path] = jnp.asarray(vector[start : start + size].reshape(shape), dtype)
        start += size
    return tree(leaves)


def random_params(seed: int = 0, dtype: Any = jnp.float32, scale: float = 1.0) -> dict[str, Any]:
    """A small tree of normally distributed weights."""
    size = sum(int(np.prod(shape)) for shape in SHAPES.values())
    return unravel(scale * np.random.default_rng(seed).normal(size=size), dtype)


# Closed forms. `within` are the axes of a group.


def _within(w: np.ndarray, axis: int | tuple[int, ...]) -> tuple[int, ...]:
    across = np.atleast_1d(axis) % w.ndim
    return tuple(i for i in range(w.ndim) if i not in across)


def _groups(w: np.ndarray, axis: int | tuple[int, ...]) -> tuple[np.ndarray, float]:
    """The norms of the groups, kept as axes of length 1, and the root of a group's size."""
    within = _within(w, axis)
    norms = np.sqrt((w**2).sum(within, keepdims=True))
    return norms, np.sqrt(w.size / norms.size)


def l1_value(w: np.ndarray, s: float) -> float:
    return s * np.abs(w).sum()


def l2_value(w: np.ndarray, s: float) -> float:
    return s * (w**2).sum()


def group_value(w: np.ndarray, s: float, axis: int | tuple[int, ...] = -1) -> float:
    norms, root = _groups(w, axis)
    return s * root * norms.sum()


def huber_value(w: np.ndarray, s: float, delta: float = 1.0) -> float:
    r = np.abs(w)
    return s * np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)).sum()


def mcp_sizes(r: np.ndarray, s: float, gamma: float = 3.0) -> np.ndarray:
    return np.where(r <= gamma * s, s * r - r**2 / (2 * gamma), gamma * s**2 / 2)


def log_sum_value(w: np.ndarray, s: float, epsilon: float) -> float:
    return s * np.log(1 + np.abs(w) / epsilon).sum()


def group_mcp_value(w: np.ndarray, s: float) -> float:
    norms, root = _groups(w, -1)
    return root**2 * mcp_sizes(norms / root, s).sum()


# v − prox_{t·R}(v) is t·prox_{R*/t}(v/t) by Moreau's identity: for a norm the projection on the ball
# of its dual norm, of radius t times the strength.


def l1_dual(v: np.ndarray, ts: float) -> np.ndarray:
    return np.clip(v, -ts, ts)


def l2_dual(v: np.ndarray, ts: float) -> np.ndarray:
    return v * 2 * ts / (1 + 2 * ts)


def group_dual(v: np.ndarray, ts: float, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    norms, root = _groups(v, axis)
    return v * np.minimum(1, ts * root / norms)


def everywhere(path: str) -> bool:
    return True


def nowhere(path: str) -> bool:
    return False


def on_kernels(path: str) -> bool:
    return path.endswith("kernel")


@dataclass(frozen=True)
class Case:
    """One row: how to make the penalty, and what is known about it."""

    name: str
    make: Callable[[Any], Penalty]  # from a strength, which may be traced
    value: Callable[[str, np.ndarray, float], float]  # R of the leaf at a path, given the strength
    # v − prox_{t·R}(v) at a path, given t·strength, where a closed form is known
    dual: Callable[[str, np.ndarray, float], np.ndarray] | None = None
    degree: int | None = None  # R(a·w) = a^degree · R(w) for a > 0
    convex: bool = True
    linear: bool = True  # in the strength: R with 2·strength is 2·R
    bounded: bool = False  # R does not grow with weights that are large already
    even: bool = True  # R does not see the sign of any one weight
    separable: bool = True  # a sum over single weights, so that each may have its own step
    selects: Callable[[str], bool] = everywhere
    has_kink: Callable[[str], bool] = everywhere  # at zero: weights or groups become exactly zero

    def __str__(self) -> str:
        return self.name

    def total(self, params: dict[str, Any], s: float) -> float:
        """R(params) in float64."""
        return sum(float(self.value(path, w, s)) for path, w in flat(params).items())


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
        "Huber",
        Huber,
        value=lambda path, w, s: huber_value(w, s),
        has_kink=nowhere,
    ),
    Case(
        "MCP",
        MCP,
        value=lambda path, w, s: float(mcp_sizes(np.abs(w), s).sum()),
        convex=False,
        linear=False,
        bounded=True,
    ),
    Case(
        "LogSum",
        lambda s: LogSum(s, epsilon=1.5),
        value=lambda path, w, s: log_sum_value(w, s, 1.5),
        convex=False,
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
        "Grouped(ElasticNet)",
        lambda s: Grouped(ElasticNet(s, 2 * s)),
        value=lambda path, w, s: group_value(w, s) + l2_value(w, 2 * s),
        separable=False,
    ),
    Case(
        "L2+MCP",
        lambda s: L2(s) + MCP(s, gamma=5.0),
        value=lambda path, w, s: l2_value(w, s) + float(mcp_sizes(np.abs(w), s, 5.0).sum()),
        linear=False,
    ),
    Case(
        "L1+L2",
        lambda s: L1(s) + L2(2 * s),
        value=lambda path, w, s: l1_value(w, s) + l2_value(w, 2 * s),
    ),
    Case(
        "L1+L1",
        lambda s: L1(s) + L1(s),
        value=lambda path, w, s: l1_value(w, 2 * s),
        dual=lambda path, v, ts: l1_dual(v, 2 * ts),
        degree=1,
    ),
    Case(
        "sparse_group_lasso",
        lambda s: GroupLasso(s) + L1(s),
        value=lambda path, w, s: l1_value(w, s) + group_value(w, s),
        degree=1,
        separable=False,
    ),
    Case(
        "GroupLasso+ElasticNet",
        lambda s: GroupLasso(s) + ElasticNet(s, s),
        value=lambda path, w, s: group_value(w, s) + l1_value(w, s) + l2_value(w, s),
        separable=False,
    ),
    Case(
        "L1.on(kernels)",
        lambda s: L1(s).on(kernels),
        value=lambda path, w, s: l1_value(w, s) if on_kernels(path) else 0.0,
        dual=lambda path, v, ts: l1_dual(v, ts if on_kernels(path) else 0.0),
        degree=1,
        selects=on_kernels,
        has_kink=on_kernels,
    ),
    Case(
        "each_its_own_leaves",
        lambda s: L1(s).on("*/kernel") + L2(s).on("*/bias"),
        value=lambda path, w, s: l1_value(w, s) if on_kernels(path) else l2_value(w, s),
        dual=lambda path, v, ts: l1_dual(v, ts) if on_kernels(path) else l2_dual(v, ts),
        has_kink=on_kernels,
    ),
    Case(
        "selected_sum",
        lambda s: (L1(s) + GroupLasso(s)).on("**", exclude="**/bias"),
        value=lambda path, w, s: l1_value(w, s) + group_value(w, s) if on_kernels(path) else 0.0,
        degree=1,
        separable=False,
        selects=on_kernels,
        has_kink=on_kernels,
    ),
    Case(
        "scaled",
        lambda s: 4 * L1(s),
        value=lambda path, w, s: l1_value(w, 4 * s),
        dual=lambda path, v, ts: l1_dual(v, 4 * ts),
        degree=1,
    ),
    Case(
        "strength_for_each_leaf",
        lambda s: L1({"dense": {"kernel": s, "bias": 2 * s}, "scan": 4 * s}),
        value=lambda path, w, s: l1_value(w, s * {"dense/kernel": 1, "dense/bias": 2}.get(path, 4)),
        dual=lambda path, v, ts: l1_dual(v, ts * {"dense/kernel": 1, "dense/bias": 2}.get(path, 4)),
        degree=1,
    ),
]
