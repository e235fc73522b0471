"""Thresholds of groups that are the root of one scalar equation: each exact, with its derivatives."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from penalties._numerics import ratio
from penalties._penalty.split import Split

# Newton's steps from the left double the digits; up to twenty are needed where thresholds differ by decades.
_MOST = 60


def shrinkage(sizes: Array, by: Array, split: Split) -> Array:
    """n/(n + by_i), n the norm of the prox of a group norm with a threshold for each weight.

    The prox z_i = d_i·x_i/(d_i + λ/‖z‖) with d_i = 1/step_i is x_i·n/(n + by_i) with by_i = λ·step_i, and n
    is the root of Σ x_i²/(n + by_i)² = 1; z is zero if and only if Σ (x_i/by_i)² ≤ 1. In the form
    1/√Σ… = 1 the left side is concave and increasing, so that Newton's method rises to the root from
    anything to the left of it and never passes it. With equal thresholds it is linear, and one step is all.

    Source: the secular equation of trust regions, Conn, Gould and Toint, Trust-region methods (2000), section
    7.3.3.
    """
    largest = lax.stop_gradient(split.max(sizes))
    sizes, by = ratio(sizes, largest), ratio(by, largest)  # squares would overflow, and underflow
    x, t = lax.stop_gradient((sizes, by))
    zero = split.sum(jnp.square(ratio(x, t) + jnp.where((t == 0) & (x > 0), jnp.inf, 0))) <= 1

    def risen(n: Array, sizes: Array, by: Array) -> tuple[Array, Array]:
        """1/√Σ − 1 at n, and its slope there."""
        parts = ratio(sizes, n + by)
        root = jnp.sqrt(split.sum(jnp.square(parts)))
        steep = split.sum(ratio(jnp.square(parts), n + by))
        return ratio(1 - root, root), ratio(steep, root**3)

    def turn(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        n, _, i = state
        height, slope = risen(n, x, t)
        new = jnp.maximum(n, n - ratio(height, slope))
        return new, n, i + 1

    start = jnp.maximum(jnp.sqrt(split.sum(jnp.square(x))) - split.max(t), 0)
    # Where a threshold is 0 its weight stays: the norm is that of these at least.
    start = jnp.maximum(start, jnp.sqrt(split.sum(jnp.where(t == 0, jnp.square(x), 0))))
    n, _, _ = lax.while_loop(
        lambda s: (s[2] < _MOST) & jnp.any(s[0] > s[1]), turn, turn((start, start, jnp.zeros((), jnp.int32)))
    )
    # One step more, in which the numbers are not held: it has the root's derivatives.
    height, slope = risen(n, sizes, by)
    n = jnp.where(zero, 0, n - ratio(height, lax.stop_gradient(slope)))
    return jnp.where(by == 0, jnp.ones_like(by), ratio(n, n + by))
