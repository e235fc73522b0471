"""How far an optimizer moves for each unit of the direction it is fed, whatever optimizer it is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._numerics import widen
from penalties._tree.opening import Opened


class MeasuredState(NamedTuple):
    """The state of `measured`.

    Attributes:
        inner_state: the state of the optimizer.
        strides: by leaf path the running geometric mean of Σ|Δw|/Σ|d| over weights that are not zero; 0 until
            there is one.
    """

    inner_state: optax.OptState
    strides: dict[str, Array]


def measured(
    optimizer: optax.GradientTransformationExtraArgs, strides: Mapping[str, Array]
) -> optax.GradientTransformationExtraArgs:
    """The optimizer as it is, with its strides in its state; those so far are `strides`."""

    def init(params: Any) -> Any:
        return MeasuredState(optimizer.init(params), dict(strides))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        steps, inner_state = optimizer.update(updates, state.inner_state, params, **extra_args)
        weights, fed, made = (
            {leaf.path: leaf.value for leaf in Opened(tree).leaves} for tree in (params, updates, steps)
        )
        strides = {
            path: _next(stride, weights[path], fed[path], made[path]) if path in made else stride
            for path, stride in state.strides.items()
        }
        return steps, MeasuredState(inner_state, strides)

    return optax.GradientTransformationExtraArgs(init, update)


@jax.jit
def _next(stride: Array, w: Array, fed: Array, step: Array) -> Array:
    def total(x: Array) -> Array:
        return jnp.sum(jnp.where(w == 0, 0, jnp.abs(widen(x)))).astype(jnp.float32)

    now = total(step) / jnp.maximum(total(fed), jnp.finfo(jnp.float32).tiny)
    first = stride == 0
    after = jnp.where(first, now, stride * (now / jnp.where(first, 1, stride)) ** 0.3)
    # No step at all (of `optax.MultiSteps`, or after a rate has fallen to 0) says nothing.
    return jnp.where(jnp.isfinite(now) & (now > 0), after, stride)
