"""What the transforms share: a penalty in the state or from a schedule, joined to the updates."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._penalty import binding, flax_states
from penalties._penalty.base import Penalty, check_penalty
from penalties._tree.opening import Opened

ScheduledPenalty = Penalty | Callable[[Array], Penalty]
"""A penalty, or a function of the step count (int32, from 0) that returns one."""


class PenaltyState(NamedTuple):
    """The state of `add_penalty` and `proximal`.

    Attributes:
        penalty: the penalty of the last step; `optax.tree.set(state, penalty=L2(0.2))` changes it.
        given: the penalty that the transform itself gave: what it was built with, or its schedule's last.
        penalty_step: the number of updates so far, int32.
    """

    penalty: Penalty
    given: Penalty
    penalty_step: Array


def init_state(penalty: ScheduledPenalty, params: Any) -> Any:
    """The state of `add_penalty` and `proximal` before the first step."""
    first = first_penalty(penalty)
    binding.parts_at_init(first, Opened(params).leaves)
    return PenaltyState(first, as_arrays(first), first_step())


def next_state(penalty: ScheduledPenalty, state: PenaltyState) -> PenaltyState:
    """The state of `add_penalty` and `proximal` after a step, with the penalty of this step."""
    current, given = penalty_at(penalty, state)
    return PenaltyState(current, given, increment(state.penalty_step))


def map_bound(function: Callable[[Any, Any, Any], Any], penalty: Penalty, params: Any, updates: Any) -> Any:
    """`updates` with `function(bound penalty, params, updates)` where selected, leaf by leaf.

    Where groups span leaves the function is given tuples of arrays, and returns one.
    """
    opened = Opened(updates)
    new: dict[int, Array] = {}
    for part in binding.bind_parts_joined(penalty, Opened(params).leaves, opened.leaves, "updates"):
        new |= part.by_position(part.call(function, part.of(opened.values)))
    return opened.with_leaves(new)


def check_scheduled(penalty: Any) -> None:
    """Raises TypeError unless `penalty` is a Penalty or a function."""
    # A class is callable, too: of the step count it would make a strength.
    if not callable(penalty) or isinstance(penalty, type):
        check_penalty(penalty, "the penalty", ", or a function of the step count that returns one")


def first_step() -> Array:
    """The step count before the first step."""
    return jnp.zeros((), jnp.int32)


def first_penalty(penalty: ScheduledPenalty) -> Penalty:
    """The penalty of the first step, as a state keeps it."""
    return as_arrays(penalty if isinstance(penalty, Penalty) else penalty(first_step()))


def penalty_at(penalty: ScheduledPenalty, state: Any) -> tuple[Penalty, Penalty]:
    """The penalty of this step, and what the transform itself gave for it.

    The strengths belong to the transform that was built with them. In a state of its own they are as it
    left them, or somebody has set others, which hold from then on. A state to which other strengths
    were given comes from another transform, through a checkpoint: its strengths are not taken over.
    """
    held = state.penalty
    check_penalty(held, "the state's penalty", ": set one by `optax.tree.set(state, penalty=L1(0.2))`")
    own = as_arrays(penalty if isinstance(penalty, Penalty) else penalty(state.penalty_step))
    if jax.tree.structure(held) != jax.tree.structure(own):
        raise ValueError(
            f"the state holds the penalty {held!r}, and the transform was built with {own!r}: set one that "
            "differs in its strengths only, or `init(params)` of a transform that is built with the new one"
        )
    # A loop wants back the dtypes that it began with, those of `init`, whatever a schedule computes in.
    own = jax.tree.map(lambda x, first: x.astype(first.dtype), own, state.given)
    if isinstance(penalty, Penalty):
        return _chosen(_same(state.given, own), held, own), own
    is_set = ~_same(held, state.given)
    return _chosen(is_set, held, own), _chosen(is_set, state.given, own)


def _same(one: Penalty, other: Penalty) -> Array:
    """Whether the strengths are the same, but for the rounding of a schedule that is computed twice."""

    def same(x: Any, y: Any) -> Array:
        x, y = (jnp.asarray(number).astype(jnp.float32) for number in (x, y))
        return jnp.all((jnp.abs(x - y) <= 1e-6 * jnp.abs(y)) | (jnp.isnan(x) & jnp.isnan(y)))

    each = map(same, jax.tree.leaves(one), jax.tree.leaves(other))
    return functools.reduce(jnp.logical_and, each, jnp.asarray(True))


def _chosen(is_first: Array, first: Penalty, second: Penalty) -> Penalty:
    def chosen(x: Any, y: Array) -> Array:
        return jnp.where(is_first, jnp.asarray(x).astype(y.dtype), y)

    return jax.tree.map(chosen, first, second)


def as_arrays(penalty: Penalty) -> Penalty:
    """The penalty with strengths as arrays, as a state keeps them: single numbers in the default float."""
    check_penalty(penalty, "what the schedule returned")
    flax_states.register_all()

    def array(x: Any) -> Array:
        # Copies: a state may be donated, and the penalty it was made of used again. One dtype: outside of
        # jit a penalty keeps single numbers as Python floats, whatever dtype a schedule computed them in.
        new = jnp.array(x)
        fixed = new.ndim and jnp.issubdtype(new.dtype, jnp.floating)
        return new if fixed else new.astype(jax.dtypes.canonicalize_dtype(float))

    return jax.tree.map(array, penalty)


def increment(count: Array) -> Array:
    """count + 1, and no overflow."""
    return jnp.asarray(optax.safe_increment(count))


def require_params(params: Any, name: str) -> None:
    """Raises ValueError if an update is called without params."""
    if params is None:
        raise ValueError(
            f"{name} needs the params: call `update(updates, state, params)`, not `update(updates, state)`"
        )
