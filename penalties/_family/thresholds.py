"""Thresholds of groups that are the root of one scalar equation: each exact, with its derivatives."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from penalties._numerics import ratio
from penalties._penalty.split import Split

# Newton's steps from the left double the digits; ten are enough where thresholds differ by 16 decades.
_MOST = 30


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


def ceiling(sizes: Array, by: Array, split: Split) -> Array:
    """The level c ≥ 0 above which a group has by in all, Σ max(sizes − c, 0) = by; 0 if it has less."""
    largest = lax.stop_gradient(split.max(sizes))
    below = sizes - largest  # where the digits are: what is above the level is within [−by, 0]

    def level(support: Array, below: Array, by: Array) -> Array:
        above = split.sum(jnp.where(support, below, jnp.zeros_like(below))) - by
        return ratio(above, split.sum(support.astype(below.dtype)))

    x, t = lax.stop_gradient((below, by))
    support = _shrunk(x > -t, lambda support: x > level(support, x, t))
    return jnp.maximum(largest + (level(support, below, by) + 0 * by), 0)


def common_norm(sizes: Array, by: Array, split: Split) -> Array:
    """The root s of s = Σ max(sizes − by·s, 0): the L1 norm that remains where it is the threshold itself."""

    def remains(support: Array, sizes: Array, by: Array) -> Array:
        total = split.sum(jnp.where(support, sizes, jnp.zeros_like(sizes)))
        return total / (1 + split.sum(jnp.where(support, by, jnp.zeros_like(sizes))))

    x, t = lax.stop_gradient((sizes, by))
    # The last to fall stays: where its threshold is all but its size, rounding would take it for less.
    last = ratio(x, t) >= split.max(ratio(x, t))
    # ≤ and not >: NaN stays in the support, and its group becomes NaN.
    support = _shrunk(~(x <= 0), lambda support: last | ~(x <= t * remains(support, x, t)))
    return remains(support, sizes, by)


def _shrunk(support: Array, stays: Callable[[Array], Array]) -> Array:
    """What is left of the support when nothing falls out of it any more."""

    def fewer(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        support, count, _ = state
        support = support & stays(support)
        return support, jnp.sum(support), count

    first = fewer((support, jnp.sum(support), jnp.sum(support)))
    return lax.while_loop(lambda s: s[1] < s[2], fewer, first)[0]
