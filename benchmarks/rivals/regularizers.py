"""The two regularizers that the rivals share, on one kernel, written apart from the package's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Lasso(NamedTuple):
    """λ·Σ|w|."""

    strength: Any

    def value(self, w: Array) -> Array:
        return self.strength * jnp.abs(w).sum()

    def gradient(self, w: Array) -> Array:
        return self.strength * jnp.sign(w)

    def metric_prox(self, v: Array, metric: Any, step: Any) -> Array:
        """argmin_w ½(w − v)ᵀM(w − v) + step·R(w), M diagonal."""
        width = step * self.strength / metric
        return v - jnp.clip(v, -width, width)

    def alive(self, w: Array) -> Array:
        return w != 0

    def same_side(self, w: Array, moved: Array) -> Array:
        """Which weights stay strictly within the orthant of w."""
        return w * moved > 0


class Groups(NamedTuple):
    """λ·√rows·Σ‖column‖, a group for each column."""

    strength: Any

    def value(self, w: Array) -> Array:
        return self._width(w) * jnp.linalg.norm(w, axis=0).sum()

    def gradient(self, w: Array) -> Array:
        norm = jnp.linalg.norm(w, axis=0, keepdims=True)
        return self._width(w) * w / jnp.maximum(norm, 1e-30)

    def metric_prox(self, v: Array, metric: Any, step: Any) -> Array:
        """The norm of a column solves Σ (Mv)²/(M·norm + width)² = 1, by Newton on the inverse root."""
        width, pull = step * self._width(v), metric * v
        norm = jnp.zeros((1, v.shape[1]))
        for _ in range(6):
            scale = metric * norm + width
            total = jnp.sum(pull**2 / scale**2, 0, keepdims=True) + 1e-30
            slope = -2 * jnp.sum(pull**2 * metric / scale**3, 0, keepdims=True)
            norm = jnp.maximum(norm + (1 - total**-0.5) / (-0.5 * total**-1.5 * slope + 1e-30), 0)
        alive = jnp.linalg.norm(pull, axis=0, keepdims=True) > width
        return jnp.where(alive, pull * norm / (metric * norm + width), 0)

    def alive(self, w: Array) -> Array:
        return jnp.any(w != 0, 0)

    def same_side(self, w: Array, moved: Array) -> Array:
        """Which columns stay strictly within the half-space of w."""
        return jnp.sum(w * moved, 0, keepdims=True) > 0

    def _width(self, w: Array) -> Any:
        return self.strength * w.shape[0] ** 0.5


def on_kernels(function: Callable[..., Array], tree: Any, *rest: Any) -> Any:
    """The function on every leaf of two axes; other leaves, such as biases, as they are in the first tree."""
    return jax.tree.map(lambda x, *others: function(x, *others) if x.ndim == 2 else x, tree, *rest)
