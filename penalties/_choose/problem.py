"""A smooth loss plus a penalty on the trained leaves of some params: what the solver sees."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._measure.sparsity import is_weight
from penalties._numerics import accumulator, sum_scalars, widen
from penalties._penalty import rule
from penalties._penalty.base import Penalty
from penalties._penalty.binding import bind
from penalties._penalty.settling import SettlingPenalty
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, NotAnArray, at_leaf

Weights = list[Array]
"""The trained leaves, in the order of params."""


class Problem:
    """loss(params, *data) + penalty(params) as functions of the trained leaves alone; all else is constant.

    Without a penalty (None) it is the loss alone.
    """

    def __init__(self, loss: Callable[..., Any], penalty: Penalty | None, params: Any, data: Sequence[Any]):
        self._loss, self._data, self._opened = loss, data, Opened(params)
        leaves = self._opened.leaves
        bound = [None] * len(leaves) if penalty is None else bind(penalty, leaves)
        self._chosen = [i for i, leaf in enumerate(leaves) if is_weight(leaf)]
        self._leaves: list[Leaf] = [leaves[i] for i in self._chosen]
        self._penalties = [bound[i] for i in self._chosen]
        self.weights: Weights = [leaf.value for leaf in self._leaves]
        wide = [accumulator(w.dtype) for w in self.weights]
        self.dtype = max(wide, key=lambda dtype: dtype.itemsize, default=jnp.dtype(jnp.float32))

    def params(self, weights: Weights) -> Any:
        """The params with these weights, as the user gave them."""
        return self._opened.with_leaves(dict(zip(self._chosen, weights, strict=True)))

    def penalized(self) -> list[bool]:
        """For each of the weights whether the penalty counts it."""
        return [p is not None for p in self._penalties]

    def value(self, weights: Weights) -> Array:
        """The smooth loss."""
        value = jnp.asarray(self._loss(self.params(weights), *self._data))
        if value.ndim or not jnp.issubdtype(value.dtype, jnp.floating):
            raise TypeError(
                f"the loss returned an array of shape {value.shape} and dtype {value.dtype}: expected a real "
                "scalar, such as a jnp.mean"
            )
        return value.astype(self.dtype)

    def value_and_gradient(self, weights: Weights) -> tuple[Array, Weights]:
        """The smooth loss, and the direction in which it rises."""
        value, gradient = jax.value_and_grad(self.value)(weights)
        return value, [jnp.conj(g) for g in gradient]  # JAX's of complex weights is the conjugate

    def gradient(self, weights: Weights) -> Weights:
        """The direction in which the smooth loss rises."""
        return self.value_and_gradient(weights)[1]

    def prox(self, weights: Weights, step: Array) -> Weights:
        """prox_{step·R}, leaf by leaf."""
        return [
            w if p is None else at_leaf(leaf, _prox, p, w, step)
            for p, w, leaf in zip(self._penalties, weights, self._leaves, strict=True)
        ]

    def forward_backward(self, weights: Weights, gradient: Weights, step: Array) -> Weights:
        """prox_{step·R}(weights − step·gradient)."""
        return self.prox(along(weights, -step, gradient), step)

    def optimality(self, weights: Weights, gradient: Weights, step: Array) -> Array:
        """‖d‖₂ of the least d in gradient + ∂R; of a penalty without a rule for zeros, of the prox step."""
        each = zip(self._penalties, weights, gradient, self._leaves, strict=True)
        return norm([_least(p, w, g, step, leaf) for p, w, g, leaf in each])


def check_penalty(penalty: Any) -> None:
    """Raises TypeError for what is no penalty."""
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"expected a Penalty such as L1(1.0), got {penalty!r} of type {type(penalty).__name__}"
        )


def refuse_objects(params: Any, name: str) -> None:
    """Raises TypeError for params that hold what is no array, which jit does not take."""
    for leaf in Opened(params).leaves:
        if isinstance(leaf.value, NotAnArray):
            raise TypeError(
                f"{name} got params with a leaf {leaf.path!r} of type {leaf.value.type_name}: expected "
                "arrays alone; give it the arrays, and put the rest back inside the loss, as "
                "equinox.partition and equinox.combine do"
            )


def _least(penalty: Penalty | None, w: Array, g: Array, step: Array, leaf: Leaf) -> Array:
    if penalty is None:
        return widen(g)
    if isinstance(penalty, SettlingPenalty):
        return at_leaf(leaf, rule.direction, penalty, w, widen(g), widen(g))
    mapped = at_leaf(leaf, _prox, penalty, along([w], -step, [g])[0], step)
    return (widen(w) - widen(mapped)) / step.astype(widen(w).real.dtype)


def _prox(penalty: Penalty, w: Array, step: Array) -> Array:
    wide = widen(w)
    return penalty.prox_at(wide, step.astype(wide.real.dtype)).astype(w.dtype)


def along(start: Weights, step: Array, direction: Weights) -> Weights:
    """start + step·direction."""

    def move(w: Array, d: Array) -> Array:
        wide = widen(w)
        return (wide + step.astype(wide.real.dtype).astype(wide.dtype) * widen(d)).astype(w.dtype)

    return [move(w, d) for w, d in zip(start, direction, strict=True)]


def minus(one: Weights, other: Weights) -> Weights:
    """one − other."""
    return [x - y for x, y in zip(one, other, strict=True)]


def dot(one: Weights, other: Weights) -> Array:
    """Re Σ conj(one)·other."""
    pairs = zip(one, other, strict=True)
    return sum_scalars([jnp.real(jnp.sum(jnp.conj(widen(x)) * widen(y))) for x, y in pairs])


def norm(weights: Weights) -> Array:
    """The Euclidean norm over all leaves."""
    return jnp.sqrt(dot(weights, weights))
