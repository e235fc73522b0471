"""Order statistics over many leaves by counting alone: without a sort, sharded leaves stay where they are."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from penalties._measure.sparsity import count_true

T = TypeVar("T")

# The keys are the bits of a float32 ≥ 0, which are in order, and those of infinity.
LARGEST = 0x7F800000
BITS = 16  # of a `coarse` key
_REST = 31 - BITS


def ordered(x: Array) -> Array:
    """Of a number ≥ 0 an int32 that is in the same order; NaN is the largest."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)
    return jnp.where(jnp.isnan(x), LARGEST, bits)


def coarse(x: Array) -> Array:
    """`ordered` to 16 bits, which tell numbers 0.8 % apart: half of the memory, in half of the passes."""
    return (ordered(x) >> _REST).astype(jnp.uint16)


def between(key: Array) -> tuple[Array, Array]:
    """The least and the largest float32 that have this `coarse` key."""
    low = key.astype(jnp.int32) << _REST
    return _number(low), _number(low | ((1 << _REST) - 1))


def _number(key: Array) -> Array:
    return jax.lax.bitcast_convert_type(key, jnp.float32)


def untied(keys: Array, low: int) -> Array:
    """Keys whose `low` lowest bits are replaced by a hash of where they stand: equal ones come apart.

    In bfloat16, or under optimizers that move by signs, thousands of weights have one size.
    """
    place = jax.lax.iota(jnp.uint32, max(keys.size, 1))[: keys.size].reshape(keys.shape)
    # Multiples of 2³² / golden ratio are as evenly spread as can be.
    spread = (place * jnp.uint32(2654435769)) >> jnp.uint32(32 - low)
    return keys & jnp.int32(-(1 << low)) | spread.astype(jnp.int32)


def smallest_reaching(keys: Sequence[Array], wanted: Array, pooled: bool, *, bits: int = 31) -> Array:
    """For each leaf the smallest x ≥ 0 for which `wanted` of its keys are ≤ x, by bisection; int32.

    Args:
        keys: for each leaf ints in [0, 2^bits).
        wanted: for each leaf how many, ≥ 1; pooled, the same number for each, of all keys together.
        pooled: whether all leaves count as one.
        bits: how many each key has. Each is one pass over the keys.
    """

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) // 2
        enough = count([k <= middle[i].astype(k.dtype) for i, k in enumerate(keys)], pooled) >= wanted
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    ends = jnp.zeros(len(keys), jnp.int32), jnp.full(len(keys), (1 << bits) - 1, jnp.int32)
    return jax.lax.fori_loop(0, bits, halve, ends)[1]


def either(condition: Array, one: Callable[[], T], other: Callable[[], T]) -> T:
    """`jax.lax.cond`, and outside jit, where it would compile anew in each step, plain Python's."""
    if isinstance(condition, Tracer):
        return jax.lax.cond(condition, one, other)
    return one() if condition else other()


def count(masks: Sequence[Array], pooled: bool) -> Array:
    """For each leaf how many are True; pooled, the number over all leaves for each. float32 from 2³¹ on."""
    counts = [count_true(mask) for mask in masks]
    # In float32 whole numbers end at 2²⁴; they are needed only where int32 would overflow.
    large = sum(mask.size for mask in masks) > jnp.iinfo(jnp.int32).max
    each = jnp.stack([c.astype(jnp.float32 if large else jnp.int32) for c in counts])
    return jnp.broadcast_to(jnp.sum(each, dtype=each.dtype), each.shape) if pooled else each
