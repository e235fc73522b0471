"""Runs of equal entries: the solutions of isotonic regression and of total variation are made of them.

An algorithm finds where runs end, which is not differentiated; the values then are means over runs, which are
differentiable, and exact where the algorithm's own sums have lost digits.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


def means_of_runs(v: Array, begins: Array) -> Array:
    """Each entry of a vector replaced by the mean of its run; runs begin where `begins` says, and at 0."""
    n = v.shape[0]
    at = jnp.arange(n)
    begins = begins & (at > 0)
    run = jnp.cumsum(begins, dtype=jnp.int32)
    first = v[lax.cummax(jnp.where(begins, at, 0))]
    count = jax.ops.segment_sum(jnp.ones_like(v), run, n, indices_are_sorted=True)[run]
    # As what is added to the first: a constant run stays exactly what it is.
    rest = jax.ops.segment_sum(v - first, run, n, indices_are_sorted=True)[run]
    return jnp.where(count == 1, v, first + rest / count)


def variation_signs(v: Array, strength: Array) -> Array:
    """The signs of x_{i+1} − x_i of argmin_x strength·Σ|x_{i+1} − x_i| + ½‖x − v‖²; the last is 0.

    Dynamic programming: the derivative of the cost of all up to point k, as a function of x_k, is piecewise
    linear, increasing, and clipped to ±strength before the next point comes. Its knots stand in the middle
    of an array, the first at `lo` and the last at `hi`; a clip takes knots away at the two ends and puts one
    there. In each turn of the loop either the outermost knots go or a point is finished: 3n turns at most,
    the same number for all lines that are done at once.

    Source: Johnson, A dynamic programming algorithm for the fused lasso and L0-segmentation, JCGS 22 (2013).
    """
    n = v.shape[0]
    v = v - v[0]  # the sums of a signal far from zero would lose digits
    one = jnp.ones((), v.dtype)

    # Left of its first knot the derivative is slope·x + offset, and right of its last −(slope·x + offset).
    def turn(_, state):
        knots, clips, k, lo, hi, left, right, first, last = state
        bound = jnp.where(k == n - 1, 0, strength)
        below = (lo <= hi) & (left[0] * first[0] + left[1] <= -bound)
        above = (lo <= hi) & (-right[0] * last[0] - right[1] >= bound) & ~(below & (lo == hi))
        finished = ~below & ~above & (k < n)
        low, high = (-bound - left[1]) / left[0], -(bound + right[1]) / right[0]

        def put(into, at, *values):
            return into.at[jnp.where(finished, at, 2 * n)].set(jnp.stack(values), mode="drop")

        knots = put(knots, lo - 1, low, left[0], left[1] + bound)
        knots = put(knots, hi + 1, high, right[0], right[1] + bound)
        clips = put(clips, k, low, high)
        k = jnp.where(finished, k + 1, k)
        lo = jnp.where(finished, lo - 1, jnp.where(below, lo + 1, lo))
        hi = jnp.where(finished, hi + 1, jnp.where(above, hi - 1, hi))
        left = jnp.where(below, left + first[1:], left)
        left = jnp.where(finished, jnp.stack([one, -v[k] - strength]), left)
        right = jnp.where(above, right + last[1:], right)
        right = jnp.where(finished, jnp.stack([-one, v[k] - strength]), right)
        # Read after they are written and kept for the next turn: else XLA copies the arrays in each turn.
        return knots, clips, k, lo, hi, left, right, knots[lo], knots[hi]

    middle, none = jnp.asarray(n, jnp.int32), jnp.zeros(3, v.dtype)
    knots, clips = jnp.zeros((2 * n, 3), v.dtype), jnp.zeros((n, 2), v.dtype)
    left, right = jnp.stack([one, -v[0]]), jnp.stack([-one, v[0]])
    state = (knots, clips, jnp.zeros_like(middle), middle, middle - 1, left, right, none, none)
    clips = lax.fori_loop(0, 3 * n, turn, state)[1]

    def back(after, clip):
        x = jnp.clip(after, clip[0], clip[1])
        return x, jnp.sign(after - x)

    _, signs = lax.scan(back, clips[-1, 0], clips, reverse=True)
    return jnp.where(jnp.arange(n) < n - 1, signs, 0)


def falling_begins(v: Array) -> Array:
    """Where runs of argmin_x ‖x − v‖², x_1 ≥ x_2 ≥ …, begin, besides at 0.

    Pool adjacent violators: blocks stand on a stack, and as long as the newest has a larger mean than the one
    below they are merged. In each turn of the loop two blocks are merged or the next entry comes: 2n turns at
    most, the same number for all that are done at once.

    Source: Barlow, Bartholomew, Bremner and Brunk, Statistical inference under order restrictions (1972).
    """
    n = v.shape[0]

    # A block is its sum and where it starts.
    def turn(_, state):
        sums, starts, begins, k, depth, newest, below = state
        (total, start), (total_below, start_below) = newest, below
        means = total / (k - start).astype(v.dtype), total_below / (start - start_below).astype(v.dtype)
        merged = (depth > 0) & (means[1] < means[0])
        begun = ~merged & (k < n)
        at = jnp.where(begun, depth, n)
        sums, starts = sums.at[at].set(total, mode="drop"), starts.at[at].set(start, mode="drop")
        begins = begins.at[jnp.where(begun, k, jnp.where(merged, start, 0))].set(begun)
        newest = (
            jnp.where(begun, v[k], jnp.where(merged, total + total_below, total)),
            jnp.where(begun, k, jnp.where(merged, start_below, start)),
        )
        k = jnp.where(begun, k + 1, k)
        depth = jnp.where(begun, depth + 1, jnp.where(merged, depth - 1, depth))
        # Read after they are written and kept for the next turn: else XLA copies the arrays in each turn.
        return sums, starts, begins, k, depth, newest, (sums[depth - 1], starts[depth - 1])

    zero = jnp.zeros((), jnp.int32)
    sums, starts, begins = jnp.zeros_like(v), jnp.zeros(n, jnp.int32), jnp.zeros(n, jnp.bool_)
    state = (sums, starts, begins, zero + 1, zero, (v[0], zero), (v[0], zero))
    return lax.fori_loop(0, 2 * n, turn, state)[2]
