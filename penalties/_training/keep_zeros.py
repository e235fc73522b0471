"""keep_zeros: an averaged model with the exact zeros of the iterate."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from penalties._tree.paths import is_array, join, leaves_with_paths

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

    Raises:
        ValueError: the trees are not of the same structure and shapes.

    >>> import jax.numpy as jnp
    >>> from penalties import keep_zeros
    >>> keep_zeros({"w": jnp.array([0.9, 1e-3])}, {"w": jnp.array([1.0, 0.0])})["w"].tolist()
    [0.8999999761581421, 0.0]
    """
    _check_structures(averaged, iterate)

    def keep(path, average, x):
        if not is_array(x) or not jnp.issubdtype(x.dtype, jnp.inexact):
            return average  # a counter, a key, a function
        if jnp.shape(average) != x.shape:
            raise ValueError(
                f"the leaf {join(path)!r} has shape {jnp.shape(average)} in averaged and {x.shape} in "
                "iterate: expected two trees of the same structure"
            )
        return jnp.where(x == 0, jnp.zeros_like(average), average)

    return jax.tree_util.tree_map_with_path(keep, averaged, iterate)


def _check_structures(averaged: Any, iterate: Any) -> None:
    """Raises ValueError unless both trees are of one structure."""
    structures = [jax.tree.structure(tree) for tree in (averaged, iterate)]
    if structures[0] != structures[1]:
        one, other = ([leaf.path for leaf in leaves_with_paths(tree)] for tree in (averaged, iterate))
        lacking = [path for path in one if path not in other], [path for path in other if path not in one]
        shown = [paths[:20] for paths in lacking] if any(lacking) else structures
        raise ValueError(
            "keep_zeros expects two trees of the same structure, and of these averaged alone has "
            f"{shown[0]}, iterate alone {shown[1]}: give it params as the optimizer has them, both times"
        )
