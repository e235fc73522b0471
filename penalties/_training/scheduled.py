"""What the transforms share: a penalty in the state or from a schedule, joined to the updates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._penalty import binding
from penalties._penalty.base import Penalty
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf

ScheduledPenalty = Penalty | Callable[[Array], Penalty]
"""A penalty, or a function of the step count (int32, from 0) that returns one."""


class PenaltyState(NamedTuple):
    """The state of `add_penalty` and `proximal`: the penalty of the last step and the step count."""

    penalty: Penalty
    count: Array


def init_state(penalty: ScheduledPenalty, params: Any) -> Any:
    """The state of `add_penalty` and `proximal` before the first step."""
    count = jnp.zeros((), jnp.int32)
    first = as_arrays(penalty if isinstance(penalty, Penalty) else penalty(count))
    binding.check(first, params)
    return PenaltyState(first, count)


def map_bound(function: Callable[[Penalty, Leaf, Leaf], Array], penalty: Penalty, params: Any, updates: Any):
    """`updates` with `function(penalty of the leaf, leaf of params, leaf of updates)` where selected."""
    opened = Opened(updates)
    joined = binding.bind_joined(penalty, Opened(params).tree, opened.tree, "updates")
    return opened.with_leaves(
        {i: function(p, leaf, update) for i, (p, leaf, update) in enumerate(joined) if p is not None}
    )


def check_penalty(penalty: Any) -> None:
    """Raises TypeError unless `penalty` is a Penalty or a function."""
    # A class is callable, too: of the step count it would make a strength.
    if not isinstance(penalty, Penalty) and (not callable(penalty) or isinstance(penalty, type)):
        raise TypeError(
            f"expected a Penalty such as L1(1e-4), or a function of the step count that returns one; "
            f"got {penalty!r} of type {type(penalty).__name__}"
        )


def penalty_at(penalty: ScheduledPenalty, current: Penalty, count: Array) -> Penalty:
    """The penalty of this step: from the schedule, if it is one, else from the state."""
    if isinstance(penalty, Penalty):
        if not isinstance(current, Penalty):
            raise TypeError(
                f"the state holds {current!r} of type {type(current).__name__} for the penalty: set one, "
                "as in `optax.tree.set(state, penalty=L1(0.2))`"
            )
        return current
    return as_arrays(penalty(count))


def as_arrays(penalty: Penalty) -> Penalty:
    """The penalty with strengths as arrays of one fixed dtype, as a state keeps them."""
    if not isinstance(penalty, Penalty):
        raise TypeError(f"the schedule returned {penalty!r}: expected a Penalty")
    # Copies: a state may be donated, and the penalty it was made of used again.
    return jax.tree.map(jnp.array, penalty)


def increment(count: Array) -> Array:
    """count + 1, and no overflow."""
    return jnp.asarray(optax.safe_increment(count))


def require_params(params: Any, name: str) -> None:
    """Raises ValueError if an update is called without params."""
    if params is None:
        raise ValueError(
            f"{name} needs the params: call `update(updates, state, params)`, not `update(updates, state)`"
        )
