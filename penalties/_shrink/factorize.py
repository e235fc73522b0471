"""factorize: kernels of low rank as products of two smaller ones."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from penalties._family.matrices import Nuclear
from penalties._numerics import like, widen
from penalties._penalty.axes import as_matrix, axes_within
from penalties._penalty.strengths import checked
from penalties._tables import Tabular
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, at_leaf, is_inexact
from penalties._tree.selection import Where, kernels, nothing_selected, selector


class Factors(NamedTuple):
    """Two factors of a kernel: summed over the last axis of u and the first of v, they are the kernel.

    Attributes:
        u: of shape (*rows, rank).
        v: of shape (rank, *columns).
    """

    u: Array
    v: Array

    @property
    def rank(self) -> int:
        """The numerical rank."""
        return self.v.shape[0]

    @property
    def full_rank(self) -> int:
        """The largest that a kernel of this shape can have."""
        return min(math.prod(self.u.shape[:-1]), math.prod(self.v.shape[1:]))


@final
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Factorization(Tabular):
    """The factors of each chosen kernel by its path; prints as a table of ranks and sizes.

    Attributes:
        factors: {path: Factors}.
        shapes: {path: shape of the kernel}.
    """

    factors: dict[str, Factors]
    shapes: dict[str, tuple[int, ...]]

    def _table_columns(self) -> Sequence[str]:
        return ("kernel", "shape", ":rank", ":of", ":numbers", ":in factors")

    def _table_rows(self) -> list[tuple[str, ...]]:
        rows, before, after = [], 0, 0
        for path, factors in self.factors.items():
            size, numbers = math.prod(self.shapes[path]), factors.u.size + factors.v.size
            before, after = before + size, after + numbers
            shape = "×".join(map(str, self.shapes[path]))
            ranks = f"{factors.rank:,}", f"{factors.full_rank:,}"
            rows.append((path, shape, *ranks, f"{size:,}", f"{numbers:,}"))
        return [*rows, ("all", "", "", "", f"{before:,}", f"{after:,}")]


def factorize(
    params: Any, where: Where = kernels, *, axis: int | tuple[int, ...] = -1, tolerance: float | None = None
) -> Factorization:
    """Takes kernels of low rank apart, W = U·V: a layer of fewer numbers, then one more.

    With r singular values that are not zero, a Dense kernel (in, out) becomes two of (in, r) and (r, out);
    a convolution's (height, width, in, out) one of (height, width, in, r), and (r, out) at each position.
    Factors are smaller than the kernel where r < in·out/(in + out); the table shows both.

    Args:
        params: any pytree of weights, such as one trained with `proximal` and `Nuclear`.
        where: which leaves, as in `.on(...)`.
        axis: counts the columns of the kernel as a matrix, as in `Nuclear`.
        tolerance: singular values of up to so much of the largest count as zero; by default the rounding of
            the leaf's dtype, eps·max(rows, columns).

    Returns:
        The factors in the dtype of their leaf, each with the roots of the singular values.

    Raises:
        ValueError: nothing is selected; a leaf is no matrix, or holds NaN or infinity; tolerance ≥ 1.
        TypeError: inside jit, where a rank cannot be a shape.

    >>> import jax.numpy as jnp
    >>> from penalties import factorize
    >>> params = {"dense": {"kernel": jnp.outer(jnp.arange(4.0), jnp.ones(6)), "bias": jnp.ones(6)}}
    >>> low = factorize(params, "*/kernel")
    >>> print(low)
    kernel        shape  rank  of  numbers  in factors
    --------------------------------------------------
    dense/kernel  4×6       1   4       24          10
    all                                 24          10
    >>> u, v = low.factors["dense/kernel"]
    >>> bool(jnp.allclose(u @ v, params["dense"]["kernel"], atol=1e-5))
    True

    Source: Eckart and Young, The approximation of one matrix by another of lower rank, Psychometrika 1
    (1936).
    """
    if tolerance is not None and not checked(tolerance, "tolerance") < 1:
        raise ValueError(f"tolerance is {tolerance}: expected a number in [0, 1), relative to the largest")
    rule, which = Nuclear(0.0, axis), selector(where)
    leaves = [leaf for leaf in Opened(params).leaves if leaf.trainable]
    chosen = [
        leaf for leaf, yes in zip(leaves, which.choose(leaves), strict=True) if yes and is_inexact(leaf)
    ]
    if not chosen:
        raise nothing_selected(f"where={where!r}", leaves)
    factors = {leaf.path: at_leaf(leaf, _factors, rule, leaf, tolerance) for leaf in chosen}
    return Factorization(factors, {leaf.path: leaf.value.shape for leaf in chosen})


def _factors(rule: Nuclear, leaf: Leaf, tolerance: float | None) -> Factors:
    w = leaf.value
    if isinstance(w, Tracer):
        raise TypeError("factorize inside jit: a rank is a shape, and must be known; call it on arrays")
    matrix = as_matrix(rule, widen(w))
    if not bool(jnp.all(jnp.isfinite(matrix))):
        raise ValueError(f"the leaf {leaf.path!r} holds NaN or infinity: it has no singular values")
    u, s, v = jnp.linalg.svd(matrix, full_matrices=False)
    relative = float(jnp.finfo(w.dtype).eps) * max(matrix.shape) if tolerance is None else tolerance
    rank = int(jnp.sum((s > relative * jnp.max(s, initial=0)) & (s > 0)))
    root = like(jnp.sqrt(s[:rank]), u)
    rows = axes_within(rule, w)
    height = [w.shape[axis] for axis in rows]
    width = [w.shape[axis] for axis in range(w.ndim) if axis not in rows]
    return Factors(
        (u[:, :rank] * root[None, :]).reshape(*height, rank).astype(w.dtype),
        (root[:, None] * v[:rank]).reshape(rank, *width).astype(w.dtype),
    )
