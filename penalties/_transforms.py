"""optax transforms that add a penalty's gradient, or end a chain with its prox."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties import _apply
from penalties._leaf_paths import Leaf
from penalties._numbers import widen, wider
from penalties._penalty import Penalty
from penalties._strengths import checked, guarded
from penalties._trees import Opened

ScheduledPenalty = Penalty | Callable[[Array], Penalty]
"""A penalty, or a function of the step count (int32, from 0) that returns one."""


class PenaltyState(NamedTuple):
    """The state of `add_penalty` and `proximal`: the penalty of the last step and the step count."""

    penalty: Penalty
    count: Array


def add_penalty(penalty: ScheduledPenalty) -> optax.GradientTransformationExtraArgs:
    """Adds the penalty's gradient ∇R(params) to the updates. Its place in the chain has a meaning.

    ================================================================ ===============================
    `chain(add_penalty(L2(λ)), adam(lr))`                            R in the loss, to the last bit
    `chain(scale_by_adam(), add_penalty(L2(λ)), scale_by_learning_rate(lr))`
                                                                     decoupled: adamw(lr,
                                                                     weight_decay=2·λ)
    `chain(adam(lr), add_penalty(...))`                              wrong: it would grow the weights
    ================================================================ ===============================

    The gradient is 2·λ·w for `L2(λ)` (no ½) and λ·sign(w) for `L1(λ)`, 0 at 0. Neither gives exact
    zeros: for those, see `penalized`.

    Args:
        penalty: a Penalty, or a function of the step count that returns one (a schedule).

    Returns:
        A transform whose state holds the penalty: `optax.tree.set(state, penalty=L2(0.2))` changes the
        strength without a new compile. Its `update` needs `params`; updates keep their dtypes.

    Raises:
        TypeError: `penalty` is neither.
        ValueError: in `update`, without `params`.

    >>> import jax, jax.numpy as jnp, optax
    >>> from penalties import L2, add_penalty
    >>> optimizer = optax.chain(add_penalty(L2(0.5)), optax.sgd(0.1))
    >>> params = {"kernel": jnp.array([1.0, -2.0])}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update(jax.tree.map(jnp.zeros_like, params), state, params)
    >>> updates["kernel"].tolist()
    [-0.10000000149011612, 0.20000000298023224]

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019, for what coupled
    and decoupled mean.
    """
    check_penalty(penalty)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        require_params(params, "add_penalty")
        current = penalty_at(penalty, state.penalty, state.count)

        def add(bound, leaf, update):
            return _plus_gradient(bound, leaf.value, update.value)

        return map_bound(add, current, params, updates), PenaltyState(current, increment(state.count))

    return optax.GradientTransformationExtraArgs(lambda params: _init(penalty, params), update)


def proximal(penalty: ScheduledPenalty, step_size: Any) -> optax.GradientTransformationExtraArgs:
    """Ends a chain with the prox: params become prox_{step_size·R}(params + updates).

    After `sgd(lr)` with step_size = lr this is proximal gradient descent, which solves
    loss + penalty with exact zeros. After other optimizers it solves another problem: with momentum
    μ the lasso of strength (1 − μ)·λ; after adam a threshold on |m|/√v instead of on the gradient,
    which for λ below 1 is the unpenalized solution. There, use `penalized`.

    Args:
        penalty: a Penalty, or a function of the step count that returns one.
        step_size: the learning rate of the steps before it: a number ≥ 0 or an optax schedule.

    Returns:
        A transform for the last place of a chain. Its `update` needs `params`. Zeros are exact;
        other values can be off by a rounding, for an update is a difference: for a constraint that
        must hold to the last bit, use `penalty.prox(params, step)` on the params themselves.

    Raises:
        TypeError: `penalty` is neither a Penalty nor a function.
        ValueError: step_size is negative, NaN, infinite or no single number (a schedule that gives a
            negative one makes params NaN); in `update`, without `params`.

    >>> import jax.numpy as jnp, optax
    >>> from penalties import L1, proximal
    >>> optimizer = optax.chain(optax.sgd(0.1), proximal(L1(1.0), 0.1))
    >>> params = jnp.array([1.0, 0.05])
    >>> updates, state = optimizer.update(jnp.zeros(2), optimizer.init(params), params)
    >>> optax.apply_updates(params, updates).round(6).tolist()
    [0.8999999761581421, 0.0]

    Source: Parikh and Boyd, Proximal algorithms (2014), section 4.2.
    """
    check_penalty(penalty)
    if not callable(step_size):
        step_size = checked(step_size, "step_size")
        if not jax.tree_util.all_leaves([step_size]) or jnp.ndim(step_size):
            raise ValueError(f"step_size is {step_size!r}: expected one number ≥ 0 or an optax schedule")

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        require_params(params, "proximal")
        current = penalty_at(penalty, state.penalty, state.count)
        step = guarded(step_size(state.count) if callable(step_size) else step_size)

        def shrink(bound, leaf, update):
            return _proximal_update(bound, leaf.value, update.value, step)

        return map_bound(shrink, current, params, updates), PenaltyState(current, increment(state.count))

    return optax.GradientTransformationExtraArgs(lambda params: _init(penalty, params), update)


@jax.jit
def _plus_gradient(penalty: Penalty, w: Array, update: Array) -> Array:
    gradient = jax.grad(lambda w: penalty.value_at(widen(w)))(w)
    return update + gradient.astype(update.dtype)


@jax.jit
def _proximal_update(penalty: Penalty, w: Array, update: Array, step: Array) -> Array:
    wide = widen(w)
    moved = wide + widen(update).astype(wide.dtype)
    new = penalty.prox_at(moved, step.astype(wide.real.dtype))
    # The wider dtype, in which −w is exact, and zeros with it.
    return (new - wide).astype(wider(w, update))


# What the three transforms share.


def map_bound(function: Callable[[Penalty, Leaf, Leaf], Array], penalty: Penalty, params: Any, updates: Any):
    """`updates` with `function(penalty of the leaf, leaf of params, leaf of updates)` where selected."""
    opened = Opened(updates)
    joined = _apply.bind_joined(penalty, Opened(params).tree, opened.tree, "updates")
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


def _init(penalty: ScheduledPenalty, params: Any) -> Any:
    count = jnp.zeros((), jnp.int32)
    first = as_arrays(penalty if isinstance(penalty, Penalty) else penalty(count))
    _apply.check(first, params)
    return PenaltyState(first, count)
