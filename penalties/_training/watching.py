"""Zeros that somebody else moves: how `penalized(check=True)` finds out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._numerics import widen
from penalties._tree.joining import join_leaves
from penalties._tree.opening import Opened
from penalties._tree.paths import leaves_with_paths


class WatchedZeros(NamedTuple):
    """What `penalized(check=True)` remembers of the weights it has set to zero.

    Attributes:
        zeros: for each leaf that can have zeros which weights the last update left at exactly zero: bools,
            a tree like params.
        moved: how many of those were not zero at the next update, over all steps, int32.
    """

    zeros: Any
    moved: Array


def watch(average: Any) -> WatchedZeros:
    """Before the first step: no weight has been set to zero."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.bool_), average)
    return WatchedZeros(zeros, jnp.zeros((), jnp.int32))


def watched_after(
    watched: WatchedZeros, params: Any, updates: Any, directions: Any, step: Array
) -> WatchedZeros:
    """After a step; raises if zeros of the step before are none in `params`, or if the first goes uphill."""
    opened, params = Opened(watched.zeros), Opened(params).tree
    moved, uphill, zeros = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32), {}
    update_at, direction_at = (
        {leaf.path: leaf.value for leaf in leaves_with_paths(Opened(tree).tree)}
        for tree in (updates, directions)
    )
    for i, (w, zero) in enumerate(join_leaves(params, opened.tree, "the watched zeros")):
        moved += jnp.sum(zero.value & (w.value != 0), dtype=jnp.int32)
        if w.path in update_at:
            update, direction = widen(update_at[w.path]), widen(direction_at[w.path])
            uphill += jnp.sum(jnp.real(update * jnp.conj(direction))).astype(jnp.float32)
            zeros[i] = w.value + update_at[w.path].astype(w.value.dtype) == 0
    jax.debug.callback(_raise_if_wrong, moved, (step == 0) & (uphill > 0))
    return WatchedZeros(opened.with_leaves(zeros), watched.moved + moved)


def _raise_if_wrong(moved: np.ndarray, uphill: np.ndarray) -> None:
    if np.any(uphill):
        raise RuntimeError(f"the first step of the optimizer inside `penalized` goes uphill. {_WAY_OUT}")
    if np.any(moved):
        raise RuntimeError(
            f"{np.sum(moved)} weights that `penalized` had set to zero were not zero at the next update: "
            f"something else moves them. {_WAY_OUT}"
        )


_WAY_OUT = (
    "Put `penalized` around the whole optimizer, learning rate included, with no transform after it, such "
    "as `penalized(chain(scale_by_adam(), scale_by_learning_rate(lr)), p)`; where params are changed on "
    "purpose (a lookahead, a restart), train without `check=True`"
)
