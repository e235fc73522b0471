"""Constraints on how many weights are not zero, and where: Sparse, NOfM."""

from typing import final

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from penalties._penalty.constraint import Constraint
from penalties._penalty.fields import static
from penalties._penalty.integers import checked_int


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
        return jnp.where(_is_among_largest(jnp.abs(w), self.count) | jnp.isnan(w), w, jnp.zeros_like(w))

    def is_near(self, w: Array, projected: Array, dtype: jnp.dtype) -> Array:
        return w == projected  # what is nearly zero is not zero


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
    axis: int = static(-1)

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


def _is_among_largest(size: Array, count: int) -> Array:
    """Whether each of these numbers ≥ 0 is among the `count` largest; of equal ones the first are.

    The smallest of them is found by halving, bit by bit: no sort, and on many devices nothing but sums.
    """
    width = jnp.finfo(size.dtype).bits
    bits = jax.lax.bitcast_convert_type(size, f"uint{width}")  # which are in the order of the numbers

    def next_bit(i: Array, smallest: Array) -> Array:
        higher = smallest | (jnp.ones((), bits.dtype) << (width - 2 - i).astype(bits.dtype))
        return jnp.where(jnp.sum(bits >= higher) >= count, higher, smallest)

    smallest = jax.lax.fori_loop(0, width - 1, next_bit, jnp.zeros((), bits.dtype))
    larger, equal = bits > smallest, bits == smallest
    rank = jnp.cumsum(equal.reshape(-1)).reshape(size.shape)
    return larger | (equal & (rank <= count - jnp.sum(larger)))
