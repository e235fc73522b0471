"""proximal: the prox of a penalty at the end of an optax chain."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._numerics import widen, wider
from penalties._penalty.base import Penalty
from penalties._penalty.constraint import is_constraint
from penalties._penalty.rule import widened
from penalties._penalty.strengths import checked, guarded
from penalties._training.scheduled import (
    ScheduledPenalty,
    check_scheduled,
    init_state,
    map_bound,
    next_state,
    require_params,
)


def proximal(penalty: ScheduledPenalty, step_size: Any = None) -> optax.GradientTransformationExtraArgs:
    """Ends a chain with the prox: params become prox_{step_size·R}(params + updates).

    After `sgd(lr)` with step_size = lr this is proximal gradient descent, which solves
    loss + penalty with exact zeros. After other optimizers it solves another problem: with momentum
    μ the lasso of strength (1 − μ)·λ; after adam a threshold on |m|/√v instead of on the gradient,
    which for λ below 1 is the unpenalized solution. There, use `penalized`.

    Of a constraint it is the projection, after any optimizer and without a step size:
    `chain(adam(lr), proximal(NonNegative()))`. After sgd that is projected gradient descent, which solves the
    loss under the constraint. An optimizer that scales each weight by itself, as adam does, solves it too if
    the constraint is on each weight by itself; under one that binds them together, such as a ball, it comes
    to rest at another point of the set.

    Args:
        penalty: a Penalty, or a function of the step count that returns one.
        step_size: the learning rate of the steps before it: a number ≥ 0 or an optax schedule. It may be left
            out if there are constraints only.

    Returns:
        A transform for the last place of a chain. Its `update` needs `params`. Zeros are exact;
        other values can be off by a rounding, for an update is a difference: for a constraint that
        must hold to the last bit, use `penalty.prox(params, step)` on the params themselves.

    Raises:
        TypeError: `penalty` is neither a Penalty nor a function; there is no step size, and the penalty is no
            constraint.
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
    check_scheduled(penalty)
    if step_size is None:
        return _projection(penalty)
    if not callable(step_size):
        step_size = checked(step_size, "step_size")
        if not jax.tree_util.all_leaves([step_size]) or jnp.ndim(step_size):
            raise ValueError(f"step_size is {step_size!r}: expected one number ≥ 0 or an optax schedule")

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        del extra_args
        require_params(params, "proximal")
        step = guarded(step_size(state.penalty_step) if callable(step_size) else step_size)
        state = next_state(penalty, state)

        def shrink(bound: Any, w: Any, update: Any) -> Any:
            return _proximal_update(bound, w, update, step)

        return map_bound(shrink, state.penalty, params, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: init_state(penalty, params), update)


def _projection(constraint: ScheduledPenalty) -> optax.GradientTransformationExtraArgs:
    """`proximal` of what needs no step size."""
    if isinstance(constraint, Penalty):
        _check_constraint(constraint)
    with_step = proximal(constraint, 1.0)

    def init(params: Any) -> Any:
        state: Any = with_step.init(params)
        _check_constraint(state.penalty)
        return state

    return optax.GradientTransformationExtraArgs(init, with_step.update)


def _check_constraint(penalty: Penalty) -> None:
    if not is_constraint(penalty):
        raise TypeError(
            f"proximal({penalty!r}) without a step size, which only constraints need not have: give the "
            "learning rate of the steps before it, `chain(sgd(lr), proximal(penalty, lr))`"
        )


@jax.jit
def _proximal_update(penalty: Any, w: Any, update: Any, step: Array) -> Any:
    wide = widened(w)
    moved = jax.tree.map(lambda wide, update: wide + widen(update).astype(wide.dtype), wide, update)
    new = penalty.prox_at(moved, step.astype(jax.tree.leaves(wide)[0].real.dtype))
    # The wider dtype, in which −w is exact, and zeros with it.
    return jax.tree.map(
        lambda new, wide, w, update: (new - wide).astype(wider(w, update)), new, wide, w, update
    )
