"""add_penalty: the gradient of a penalty in an optax chain."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from penalties._penalty.base import Penalty
from penalties._penalty.constraint import refuse_flat
from penalties._penalty.rule import widened
from penalties._training.scheduled import (
    ScheduledPenalty,
    check_scheduled,
    init_state,
    map_bound,
    next_state,
    require_params,
)


def add_penalty(penalty: ScheduledPenalty) -> optax.GradientTransformationExtraArgs:
    """Adds the penalty's gradient ∇R(params) to the updates. Its place in the chain has a meaning.

    ======================================================================== ===============================
    `chain(add_penalty(L2(λ)), adam(lr))`                                    R in the loss, to the last bit
    `chain(scale_by_adam(), add_penalty(L2(λ)), scale_by_learning_rate(lr))` decoupled: adamw(lr,
                                                                             weight_decay=2·λ)
    `chain(adam(lr), add_penalty(...))`                                      wrong: it would grow the weights
    ======================================================================== ===============================

    The gradient is 2·λ·w for `L2(λ)` (no ½) and λ·sign(w) for `L1(λ)`, 0 at 0. Neither gives exact
    zeros: for those, see `penalized`. Of complex weights the updates are conjugated gradients, as in optax.

    Args:
        penalty: a Penalty, or a function of the step count that returns one (a schedule).

    Returns:
        A transform whose state holds the penalty: `optax.tree.set(state, penalty=L2(0.2))` changes the
        strength without a new compile. Its `update` needs `params`; updates keep their dtypes.

    Raises:
        TypeError: `penalty` is neither, or has a constraint in it, which has no gradient.
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
    check_scheduled(penalty)
    if isinstance(penalty, Penalty):
        refuse_flat(penalty, "add_penalty")

    def init(params: Any) -> Any:
        state: Any = init_state(penalty, params)
        refuse_flat(state.penalty, "add_penalty")
        return state

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        del extra_args
        require_params(params, "add_penalty")
        state = next_state(penalty, state)

        return map_bound(_plus_gradient, state.penalty, params, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


@jax.jit
def _plus_gradient(penalty: Any, w: Any, update: Any) -> Any:
    gradient = jax.grad(lambda w: penalty.value_at(widened(w)))(w)
    # JAX's gradient of complex weights is the conjugate.
    return jax.tree.map(lambda x, gradient: x + jnp.conj(gradient).astype(x.dtype), update, gradient)
