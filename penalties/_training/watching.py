"""Zeros that somebody else moves: how `penalized(check=True)` finds out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._numerics import widen
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf


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
    watched: WatchedZeros, params: Sequence[Leaf], moves: Mapping[str, tuple[Array, Array]], step: Array
) -> WatchedZeros:
    """After a step; raises if zeros of the step before are none in `params`, or if the first goes uphill.

    `moves` has the update and the direction of what is penalized, by leaf path.
    """
    opened = Opened(watched.zeros)
    moved, uphill, zeros = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32), {}
    for i, at in enumerate(join(params, opened.leaves, "the watched zeros")):
        w = params[at]
        moved += jnp.sum(opened.values[i] & (w.value != 0), dtype=jnp.int32)
        if w.path in moves:
            update, direction = moves[w.path]
            uphill += jnp.sum(jnp.real(widen(update) * jnp.conj(widen(direction)))).astype(jnp.float32)
            zeros[i] = w.value + update.astype(w.value.dtype) == 0
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
