"""How far an optimizer moves for each unit of the direction it is fed, whatever optimizer it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._choose.quantiles import either
from penalties._numerics import widen
from penalties._training.penalized import states_within
from penalties._tree.opening import Opened

# Of a larger leaf about as many weights are looked at.
SAMPLE = 1 << 14


class MeasuredState(NamedTuple):
    """The state of what `measured` makes.

    Attributes:
        inner_state: the state of the optimizer.
        strides: by leaf path the running geometric mean of Σ|Δw|/Σ|d| over weights that are not zero; 0 until
            there is one.
    """

    inner_state: optax.OptState
    strides: dict[str, Array]


def measured(update: Callable[..., Any], due: Array) -> Callable[..., Any]:
    """The `update` of an optimizer, with its strides in its state; they are measured where `due`."""

    def measuring(fed: Any, state: Any, params: Any, **extra_args: Any) -> tuple[Any, MeasuredState]:
        steps, inner_state = update(fed, state.inner_state, params, **extra_args)
        params, fed, made = (
            {leaf.path: leaf.value for leaf in Opened(tree).leaves} for tree in (params, fed, steps)
        )
        samples = {
            path: sample(params[path], fed[path], made[path]) for path in state.strides if path in made
        }

        def measure() -> dict[str, Array]:
            new = {path: _next(state.strides[path], *arrays) for path, arrays in samples.items()}
            return state.strides | new

        return steps, MeasuredState(inner_state, either(due, measure, lambda: state.strides))

    return measuring


def known(strides: dict[str, Array]) -> Array:
    """Whether there is one: not before a step that moves something."""
    return jnp.any(jnp.stack(list(strides.values())) > 0)


def moving_share(inner_state: optax.OptState, count: Array) -> Array:
    """The share of an optimizer's `count` steps so far that moved weights: 1, or 1/k of `optax.MultiSteps`.

    Read from its state, since to see it each step would have to look at all updates.
    """
    accumulating = states_within(inner_state, optax.MultiStepsState)
    shares = [x.gradient_step / jnp.maximum(count - x.mini_step, 1) for x in accumulating]
    return jnp.max(jnp.stack(shares)).astype(jnp.float32) if shares else jnp.ones((), jnp.float32)


def sample(*arrays: Array) -> list[Array]:
    """Of arrays of one shape every k-th entry along each axis, with a k for each, short axes first.

    These are evenly spread, over rows and columns that are dead as well, and of an array on many devices each
    device has its own: where k divides the part of each no weight is moved, and else a few to a neighbour.
    Along an axis that is sharded by its type JAX slices only what divides evenly: there all are taken.
    """
    shape, specs = arrays[0].shape, [jax.typeof(x).sharding.spec for x in arrays]
    free = [i for i, *parts in zip(range(len(shape)), *specs, strict=True) if not any(parts)]
    rest, every = max(arrays[0].size // SAMPLE, 1), [1] * len(shape)
    for done, i in enumerate(sorted(free, key=lambda i: shape[i])):
        every[i] = min(round(rest ** (1 / (len(free) - done))), shape[i])
        rest //= every[i]
    if max(every, default=1) == 1:
        return list(arrays)
    return [jax.lax.slice(x, [k // 2 for k in every], shape, every) for x in arrays]


@jax.jit
def _next(stride: Array, w: Array, fed: Array, step: Array) -> Array:
    def total(x: Array) -> Array:
        return jnp.sum(jnp.where(w == 0, 0, jnp.abs(widen(x)))).astype(jnp.float32)

    direction = total(fed)
    now = total(step) / jnp.maximum(direction, jnp.finfo(jnp.float32).tiny)
    first = stride == 0
    after = jnp.where(first, now, stride * (now / jnp.where(first, 1, stride)) ** 0.3)
    # No step at all (of `optax.MultiSteps`, or after a rate has fallen to 0) says nothing, and neither does
    # one that momentum alone makes, where a dead network has no gradient.
    return jnp.where((direction > 0) & (now > 0) & jnp.isfinite(after), after, stride)
