"""keep_zeros: an averaged model with the exact zeros of the iterate."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from penalties._tree.paths import is_array

T = TypeVar("T")


def keep_zeros(averaged: T, iterate: T) -> T:
    """An averaged model with the exact zeros of the iterate: `averaged`, and 0 where `iterate` is 0.

    Optimizers that evaluate at an average of iterates (schedule-free, lookahead, an EMA of params)
    blur the zeros: a weight that was ever nonzero has a nonzero average. The iterate knows.

    When to call it: while the iterate has zeros of its own. Those of `optax.lookahead` are lost at each
    synchronization, where the fast params become the slow ones, and come back in the steps after it: call
    `keep_zeros(params.slow, params.fast)` just before one, with `state.steps_since_sync` at
    sync_period − 1.

    Args:
        averaged: what you would evaluate at, such as `optax.contrib.schedule_free_eval_params(...)`.
        iterate: the params that training updates; a tree of the same structure.

    Returns:
        A tree like averaged, dtypes kept; leaves that are neither floating nor complex as they are.

    >>> import jax.numpy as jnp
    >>> from penalties import keep_zeros
    >>> keep_zeros({"w": jnp.array([0.9, 1e-3])}, {"w": jnp.array([1.0, 0.0])})["w"].tolist()
    [0.8999999761581421, 0.0]
    """

    def keep(average, x):
        if not is_array(x) or not jnp.issubdtype(x.dtype, jnp.inexact):
            return average  # a counter, a key, a function
        return jnp.where(x == 0, jnp.zeros_like(average), average)

    return jax.tree.map(keep, averaged, iterate)
