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
from penalties._penalty.binding import bind_parts
from penalties._penalty.parts import Part
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.spanning import Beside
from penalties._tree.opening import Opened
from penalties._tree.paths import NotAnArray

Weights = list[Array]
"""The trained leaves, in the order of params."""


class Problem:
    """loss(params, *data) + penalty(params) as functions of the trained leaves alone; all else is constant.

    Without a penalty (None) it is the loss alone.
    """

    def __init__(self, loss: Callable[..., Any], penalty: Penalty | None, params: Any, data: Sequence[Any]):
        self._loss, self._data, self._opened = loss, data, Opened(params)
        leaves = self._opened.leaves
        self._chosen = [i for i, leaf in enumerate(leaves) if is_weight(leaf)]
        place = {i: j for j, i in enumerate(self._chosen)}
        self._parts = [
            part._replace(at=tuple(place[i] for i in part.at))
            for part in ([] if penalty is None else bind_parts(penalty, leaves))
            if all(i in place for i in part.at)
        ]
        self.weights: Weights = [leaves[i].value for i in self._chosen]
        wide = [accumulator(w.dtype) for w in self.weights]
        self.dtype = max(wide, key=lambda dtype: dtype.itemsize, default=jnp.dtype(jnp.float32))

    def params(self, weights: Weights) -> Any:
        """The params with these weights, as the user gave them."""
        return self._opened.with_leaves(dict(zip(self._chosen, weights, strict=True)))

    def penalized(self) -> list[bool]:
        """For each of the weights whether the penalty counts it."""
        counted = {i for part in self._parts for i in part.at}
        return [i in counted for i in range(len(self.weights))]

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
        """prox_{step·R}."""
        new = dict(enumerate(weights))
        for part in self._parts:
            new |= part.by_position(_at(part, _prox, part.of(weights), step))
        return [new[i] for i in range(len(weights))]

    def forward_backward(self, weights: Weights, gradient: Weights, step: Array) -> Weights:
        """prox_{step·R}(weights − step·gradient)."""
        return self.prox(along(weights, -step, gradient), step)

    def optimality(self, weights: Weights, gradient: Weights, step: Array) -> Array:
        """‖d‖₂ of the least d in gradient + ∂R; of a penalty without a rule for zeros, of the prox step."""
        least = dict(enumerate(map(widen, gradient)))
        for part in self._parts:
            least |= part.by_position(_at(part, _least, part.of(weights), part.of(gradient), step))
        return norm([least[i] for i in range(len(weights))])


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


def _at(part: Part, function: Callable[..., Any], *args: Any) -> Any:
    """function(penalty, *args), whose errors say at which leaves they happened."""
    return part.call(lambda penalty, _: function(penalty, *args))


def _least(penalty: Any, w: Any, g: Any, step: Array) -> Any:
    terms = (penalty.joint, *penalty.single) if isinstance(penalty, Beside) else (penalty,)
    if all(term is None or isinstance(term, SettlingPenalty) for term in terms):
        return rule.direction(penalty, w, rule.widened(g), rule.widened(g))
    ahead = jax.tree.map(lambda w, g: _moved(w, -step, g), w, g)

    def mapping(w: Array, mapped: Array) -> Array:
        return (widen(w) - widen(mapped)) / step.astype(widen(w).real.dtype)

    return jax.tree.map(mapping, w, _prox(penalty, ahead, step))


def _prox(penalty: Any, w: Any, step: Array) -> Any:
    wide = rule.widened(w)
    dtype = max((x.real.dtype for x in jax.tree.leaves(wide)), key=lambda dtype: dtype.itemsize)
    new = penalty.prox_at(wide, step.astype(dtype))
    return jax.tree.map(lambda new, w: new.astype(w.dtype), new, w)


def along(start: Weights, step: Array, direction: Weights) -> Weights:
    """start + step·direction."""
    return [_moved(w, step, d) for w, d in zip(start, direction, strict=True)]


def _moved(w: Array, step: Array, d: Array) -> Array:
    wide = widen(w)
    return (wide + step.astype(wide.real.dtype).astype(wide.dtype) * widen(d)).astype(w.dtype)


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
