"""Constraints on how many weights are not zero, and where: Sparse, GloballySparse, NOfM."""

import functools
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, final

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from penalties._numerics import sum_scalars
from penalties._penalty.base import Order
from penalties._penalty.constraint import Constraint, indicator
from penalties._penalty.fields import static
from penalties._penalty.integers import checked_int
from penalties._penalty.spanning import SpanningPenalty
from penalties._tree.paths import Leaf

# What an int32 can count.
_MOST = 2**31 - 1


@final
class Sparse(Constraint):
    """At most `count` weights of each leaf are not zero: the projection keeps the largest.

    Args:
        count: k ≥ 0, an int. Of equal weights the first are kept.

    Raises:
        ValueError: count < 0; in use, count is more than the leaf has weights.

    >>> import jax.numpy as jnp
    >>> from penalties import Sparse
    >>> Sparse(2).prox(jnp.array([0.5, -3.0, 1.0, 0.25])).tolist()
    [0.0, -3.0, 1.0, 0.0]

    Over all leaves together: `GloballySparse`.

    Source: Blumensath and Davies, Iterative hard thresholding for compressed sensing, ACHA 27 (2009).
    """

    count: int = static()

    monotone = True

    def __post_init__(self):
        object.__setattr__(self, "count", checked_int(self.count, "Sparse.count", 0))
        super().__post_init__()

    def project_at(self, w: Array) -> Array:
        if not jax.export.is_symbolic_dim(w.size) and self.count > w.size:
            raise ValueError(
                f"Sparse({self.count}) on a leaf of shape {w.shape}, which has {w.size} weights: expected a "
                "count of at most that many; select larger leaves with `.on(...)`"
            )
        (kept,) = _are_among_largest((jnp.abs(w),), self.count)
        return jnp.where(kept | jnp.isnan(w), w, jnp.zeros_like(w))

    def is_near(self, w: Array, projected: Array, dtype: jnp.dtype) -> Array:
        return w == projected  # what is nearly zero is not zero


@final
class GloballySparse(Constraint, SpanningPenalty):
    """At most `count` weights of all selected leaves together are not zero: global magnitude pruning.

    The projection keeps the largest, in whichever leaves they are, so that some leaves may keep none.

    Args:
        count: k ≥ 0, an int. Of equal weights the first are kept, in the order of leaves.

    With `NonNegative` on some of the leaves the sum has a prox. Several, on leaves of their own, have a count
    each: `GloballySparse(100).on("encoder/**") + GloballySparse(50).on("decoder/**")`.

    Raises:
        ValueError: count < 0; in use, count is more than there are weights, or these are 2³¹ or more.

    >>> import jax.numpy as jnp
    >>> from penalties import GloballySparse
    >>> params = {"a": jnp.array([0.5, -3.0]), "b": jnp.array([[1.0, 0.25]])}
    >>> {name: w.tolist() for name, w in GloballySparse(2).prox(params).items()}
    {'a': [0.0, -3.0], 'b': [[1.0, 0.0]]}

    Source: Blumensath and Davies, Iterative hard thresholding for compressed sensing, ACHA 27 (2009); over
    all layers, Han, Pool, Tran and Dally, Learning both weights and connections, NeurIPS 2015.
    """

    count: int = static()

    monotone = True
    follows = (Order.NON_NEGATIVE,)

    def __post_init__(self):
        object.__setattr__(self, "count", checked_int(self.count, "GloballySparse.count", 0))
        super().__post_init__()

    @property
    def paths(self) -> None:
        """None: it is of all leaves that are selected."""

    def blocks(
        self, leaves: Sequence[Leaf], chosen: Sequence[int]
    ) -> Iterator[tuple["GloballySparse", tuple[int, ...]]]:
        if chosen:
            yield self, tuple(chosen)

    def project_at(self, w: Any) -> Any:
        self._check_sizes([x.size for x in w])
        dtype = jnp.result_type(*(x.real.dtype for x in w))
        kept = _are_among_largest([jnp.abs(x).astype(dtype) for x in w], self.count)
        return tuple(jnp.where(k | jnp.isnan(x), x, jnp.zeros_like(x)) for k, x in zip(kept, w, strict=True))

    def prox_at(self, v: Any, step: Array) -> Any:
        # Traced steps out of range are NaN.
        return tuple(jnp.where(jnp.isnan(step), jnp.full_like(x, jnp.nan), x) for x in self.project_at(v))

    def value_at(self, w: Any) -> Array:
        self._check_sizes([x.size for x in w])
        allowed = _count(x != 0 for x in w) <= self.count
        return sum_scalars([indicator(allowed, x) for x in w])

    def value_of_leaf(self, w: Any) -> Array:
        return SpanningPenalty.value_of_leaf(self, w)

    def _check_sizes(self, sizes: Sequence[Any]) -> None:
        if any(map(jax.export.is_symbolic_dim, sizes)):
            return
        if self.count > sum(sizes):
            raise ValueError(
                f"{self!r} on {len(sizes)} leaves of {sum(sizes)} weights together: expected a count of at "
                "most that many; select more leaves with `.on(...)`"
            )
        if sum(sizes) > _MOST:
            raise ValueError(
                f"{self!r} on {len(sizes)} leaves of {sum(sizes):,} weights together: expected at most "
                f"{_MOST:,}, which an int32 counts; give parts of the leaves a count each with `.on(...)`"
            )


@final
class NOfM(Constraint):
    """Of each m consecutive weights along an axis at most n are not zero: n:m sparsity, as in 2:4.

    Args:
        n: how many may be nonzero, 0 < n ≤ m, an int. Of equal weights the first are kept.
        m: of how many consecutive ones.
        axis: along which they are consecutive; an int.

    Sparse tensor cores skip the zeros of a 2:4 pattern along the axis that a product sums over: of a kernel
    of shape (in, out) that is axis=-2.

    Raises:
        ValueError: n or m is out of range; in use, the axis is none of the leaf's, or m does not divide its
            length.

    >>> import jax.numpy as jnp
    >>> from penalties import NOfM
    >>> NOfM(2, 4).prox(jnp.array([0.5, -3.0, 1.0, 0.25])).tolist()
    [0.0, -3.0, 1.0, 0.0]

    Source: Mishra et al., Accelerating sparse deep neural networks, arXiv:2104.08378 (2021).
    """

    n: int = static()
    m: int = static()
    axis: int = static(default=-1)

    monotone = True

    def __post_init__(self):
        for name, least in (("n", 1), ("m", 1), ("axis", None)):
            object.__setattr__(self, name, checked_int(getattr(self, name), f"NOfM.{name}", least))
        if self.n > self.m:
            raise ValueError(f"NOfM.n is {self.n} and NOfM.m is {self.m}: expected n ≤ m")
        super().__post_init__()

    def project_at(self, w: Array) -> Array:
        (axis,) = self.joint_axes(w)
        length = w.shape[axis]
        if length % self.m != 0:
            raise ValueError(
                f"{self!r} on a leaf of shape {w.shape}, whose axis {self.axis} has length {length}: "
                f"expected a multiple of {self.m}; select such leaves with `.on(...)`"
            )
        along = jnp.moveaxis(w, axis, -1)
        blocks = along.reshape(*along.shape[:-1], length // self.m, self.m)
        size, place = jnp.abs(blocks), jax.lax.broadcasted_iota(jnp.int32, blocks.shape, blocks.ndim - 1)
        other, mine = size[..., None, :], size[..., :, None]
        earlier = place[..., None, :] < place[..., :, None]
        ahead = (other > mine) | ((other == mine) & earlier)
        # Nothing is ahead of NaN, which stays.
        kept = jnp.sum(ahead, -1) < self.n
        kept = jnp.moveaxis(kept.reshape(along.shape), -1, axis)
        return jnp.where(kept, w, jnp.zeros_like(w))

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        if not -w.ndim <= self.axis < w.ndim:
            raise ValueError(
                f"{self!r} on a leaf of shape {w.shape}: expected an axis between {-w.ndim} and "
                f"{w.ndim - 1}; select leaves that have this axis with `.on(...)`"
            )
        return (self.axis % w.ndim,)

    def is_near(self, w: Array, projected: Array, dtype: jnp.dtype) -> Array:
        return w == projected


def _are_among_largest(sizes: Sequence[Array], count: int) -> list[Array]:
    """Whether each of these numbers ≥ 0 is among the `count` largest; of equal ones the first are.

    The smallest of them is found by halving, bit by bit: no sort, and on many devices nothing but sums.
    """
    width = jnp.finfo(sizes[0].dtype).bits
    # Which are in the order of the numbers.
    bits = [jax.lax.bitcast_convert_type(size, f"uint{width}") for size in sizes]
    dtype = bits[0].dtype

    def next_bit(i: Array, smallest: Array) -> Array:
        higher = smallest | (jnp.ones((), dtype) << (width - 2 - i).astype(dtype))
        return jnp.where(_count(x >= higher for x in bits) >= count, higher, smallest)

    smallest = jax.lax.fori_loop(0, width - 1, next_bit, jnp.zeros((), dtype))
    larger, equal = [x > smallest for x in bits], [x == smallest for x in bits]
    left = count - _count(larger)
    before = itertools.accumulate((jnp.sum(x) for x in equal[:-1]), initial=jnp.zeros_like(left))
    return [
        more | (same & (n + jnp.cumsum(same.reshape(-1)).reshape(same.shape) <= left))
        for more, same, n in zip(larger, equal, before, strict=True)
    ]


def _count(masks: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, (jnp.sum(mask) for mask in masks))
