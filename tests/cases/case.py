"""What a row of the table says about a penalty, and the small trees it is tested on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from penalties import Penalty

SHAPES = {"dense/kernel": (3, 2), "dense/bias": (2,), "scan/kernel": (2, 3, 3)}


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
    degree: float | None = None  # R(a·w) = a^degree · R(w) for a > 0
    convex: bool = True
    linear: bool = True  # in the strength: R with 2·strength is 2·R
    bounded: bool = False  # R does not grow with weights that are large already
    even: bool = True  # R does not see the sign of any one weight
    local: bool = True  # the derivative by a weight that is zero is 0, whatever the others are
    separable: bool = True  # a sum over single weights, so that each may have its own step
    constraint: bool = False  # R is 0 or infinite, and the prox a projection whatever step and factor
    exchangeable: bool = True  # R does not see the order of the weights along an axis
    kink_stays: bool = True  # a weight that is zero has a kink there, whatever the others are
    holds_zero: bool = True  # R(0) = 0, which is its minimum
    grid: bool = True  # it takes one weight alone, and on a grid of numbers some are near the prox
    any_shape: bool = True  # it takes leaves of which no lengths are known
    slow: bool = False  # its laws run in `.ci/run` only: what they would find, they find in a row like it
    refuses: str | None = "expected a finite number ≥ 0"  # what is said of a wrong strength
    selects: Callable[[str], bool] = everywhere
    has_kink: Callable[[str], bool] = everywhere  # at zero: weights or groups become exactly zero

    def __str__(self) -> str:
        return self.name

    def total(self, params: dict[str, Any], s: float) -> float:
        """R(params) in float64."""
        return sum(float(self.value(path, w, s)) for path, w in flat(params).items())
