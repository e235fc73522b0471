"""Penalties of weights, or groups, in the order of their sizes: SLOPE, OSCAR, GroupSLOPE."""

import abc
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer

from penalties._family.runs import falling_begins, means_of_runs
from penalties._numerics import like, modulus, norm, ratio, square_root
from penalties._penalty.axes import axes_within, checked_axes, require_one_number
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import number_names, sequence, static
from penalties._penalty.strengths import Strength


class SortedPenalty(Penalty, abc.ABC):
    """R(w) = Σ λ_i·r_(i): the i-th largest of the sizes times the i-th of strengths that do not increase."""

    order = Order.JOINT
    joint = "sorted"

    @abc.abstractmethod
    def strengths_of(self, count: Any, w: Array) -> Array:
        """λ for so many sizes: a scalar, or a vector."""

    def value_at(self, w: Array) -> Array:
        return self._total(modulus(w).ravel(), w)

    def prox_at(self, v: Array, step: Array) -> Array:
        size = jnp.abs(v)
        new = self._shrunk(size.ravel(), require_one_number(step, "step", self, v), v).reshape(v.shape)
        if jnp.iscomplexobj(v):
            return v * like(ratio(new, size), v)
        return jnp.where(new == 0, jnp.zeros_like(v), jnp.sign(v) * new)  # 0, and not −0

    def require_prox_with(self, other: Penalty, w: Array) -> None:
        for name in number_names(other):
            if not isinstance(other, SortedPenalty):
                require_one_number(getattr(other, name), name, self, w)

    def _total(self, sizes: Array, w: Array) -> Array:
        return jnp.sum(self.strengths_of(sizes.shape[0], w) * jnp.sort(sizes, descending=True))

    def _shrunk(self, sizes: Array, step: Array, w: Array) -> Array:
        """argmin_{z ≥ 0} step·Σ λ_i·z_(i) + ½‖z − sizes‖²."""
        if sizes.shape == (0,):
            return sizes
        by = step * self.strengths_of(sizes.shape[0], w)
        order = jnp.argsort(lax.stop_gradient(-sizes))
        falling = sizes[order] - by
        new = means_of_runs(falling, falling_begins(lax.stop_gradient(falling)))
        return jnp.zeros_like(sizes).at[order].set(jnp.maximum(new, 0), unique_indices=True)


@final
class SLOPE(SortedPenalty):
    """The sorted L1 penalty, Σ λ_i·|w|_(i): the largest weight times the largest strength, and so on.

    Args:
        strengths: λ_1 ≥ λ_2 ≥ … ≥ 0, one for each weight of a leaf; or a number for all, which is `L1`; or
            a tree of these, for leaves of several sizes.

    Weights of correlated features come out with the same modulus, and selection is controlled for false
    discoveries if λ_i is a quantile of the noise. The prox is exact: sorting, then isotonic regression, in
    O(n log n). It has kinks where two weights are of one size, and not only at zero: train with `proximal`.

    >>> import jax.numpy as jnp
    >>> from penalties import SLOPE
    >>> penalty = SLOPE([3.0, 2.0, 1.0, 0.0])
    >>> w = jnp.array([-1.0, 4.0, 5.0, 0.5])
    >>> float(penalty(w))
    24.0
    >>> penalty.prox(w).tolist()
    [-0.25, 2.0, 2.0, 0.25]

    Raises:
        ValueError: strengths increase, or are not as many as the weights of the leaf; a step varies in it.

    Source: Bogdan et al., SLOPE: adaptive variable selection via convex optimization, Ann. Appl. Stat. 9
    (2015), algorithm 3.
    """

    strengths: Strength = sequence()

    def __post_init__(self):
        _check_strengths(self)
        super().__post_init__()

    def strengths_of(self, count: Any, w: Array) -> Array:
        return _falling(self, self.strengths, count, w)


@final
class OSCAR(SortedPenalty):
    """l1 · Σ|w| + l2 · Σ_{i<j} max(|w_i|, |w_j|): SLOPE with strengths l1 + l2·(n − i).

    Args:
        l1: strength of Σ|w|, ≥ 0. A number, or a tree with one for each leaf.
        l2: strength of the pairs, likewise. There are n(n − 1)/2 of them.

    It fits leaves of any size. Weights of correlated features come out with the same modulus. Train with
    `proximal`, as for `SLOPE`.

    >>> import jax.numpy as jnp
    >>> from penalties import OSCAR
    >>> penalty = OSCAR(l1=0.5, l2=0.25)
    >>> w = jnp.array([3.0, -2.75, 0.25])
    >>> float(penalty(w))
    5.1875
    >>> penalty.prox(w).tolist()
    [2.0, -2.0, 0.0]

    Source: Bondell and Reich, Simultaneous regression shrinkage, variable selection, and supervised
    clustering of predictors with OSCAR, Biometrics 64 (2008).
    """

    l1: Strength
    l2: Strength

    def strengths_of(self, count: Any, w: Array) -> Array:
        l1, l2 = (require_one_number(x, "strength", self, w) for x in (self.l1, self.l2))
        return l1 + l2 * jnp.arange(count, dtype=w.real.dtype)[::-1]


@final
class GroupSLOPE(SortedPenalty):
    """Σ λ_i·(√|g|·‖w_g‖₂)_(i): SLOPE of whole groups; with one strength for all it is `GroupLasso`.

    Args:
        strengths: λ_1 ≥ λ_2 ≥ … ≥ 0, one for each group of a leaf; or a number for all; or a tree of these.
        axis: one group per index along this axis (or these axes); all other axes are within the group.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupSLOPE
    >>> penalty = GroupSLOPE([2.5, 1.0])
    >>> w = jnp.array([[3.0, 0.0], [4.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    >>> float(penalty(w))  # √4 · (2.5·5 + 1)
    27.0
    >>> print(penalty.prox(w, step=0.5))
    [[1.5 0. ]
     [2.  0. ]
     [0.  0. ]
     [0.  0. ]]

    Raises:
        ValueError: strengths increase, or are not as many as the groups of the leaf; a leaf has no such axis.

    Source: Brzyski, Gossmann, Su and Bogdan, Group SLOPE: adaptive selection of groups of predictors, JASA
    114 (2019).
    """

    strengths: Strength = sequence()
    axis: int | tuple[int, ...] = static(default=-1)

    order = Order.GROUPWISE

    @property
    def joint(self) -> Any:
        """The axes along which groups are counted."""
        return "sorted", self.axis

    def __post_init__(self):
        _check_strengths(self)
        object.__setattr__(self, "axis", checked_axes(self))
        super().__post_init__()

    def all_in_groups(self, mask: Array) -> Array:
        return jnp.all(mask, axes_within(self, mask))

    def strengths_of(self, count: Any, w: Array) -> Array:
        return _falling(self, self.strengths, count, w)

    def value_at(self, w: Array) -> Array:
        norms = norm(w, axes_within(self, w))
        return self._root(w, norms) * self._total(norms.ravel(), w)

    def prox_at(self, v: Array, step: Array) -> Array:
        norms = norm(v, axes_within(self, v))
        by = require_one_number(step, "step", self, v) * self._root(v, norms)
        new = self._shrunk(norms.ravel(), by, v).reshape(norms.shape)
        # Where the squares overflow, or underflow, what is not moved is still not moved.
        most = jnp.max(by * self.strengths_of(norms.size, v), initial=0)
        whole = (new == norms) & ((norms > 0) | (most == 0))
        return v * like(jnp.where(whole, 1, ratio(new, norms)), v)

    def require_prox_with(self, other: Penalty, w: Array) -> None:
        """Nothing that may follow one of groups sees single weights."""

    def _root(self, w: Array, norms: Array) -> Array:
        """√|g|."""
        per_group = w.size // norms.size if norms.shape == () or 0 not in norms.shape else 1
        return jnp.asarray(square_root(per_group), norms.dtype)


def _check_strengths(penalty: SLOPE | GroupSLOPE) -> None:
    """Makes an array of a sequence of numbers, and raises ValueError if concrete ones increase."""
    strengths: Any = penalty.strengths
    if isinstance(strengths, (list, tuple)) and all(np.ndim(x) == 0 for x in strengths):
        object.__setattr__(penalty, "strengths", strengths := jnp.asarray(strengths, float))
    for x in jax.tree.leaves(strengths):
        if isinstance(x, Tracer) or not isinstance(x, (jax.Array, np.ndarray)) or x.ndim != 1:
            continue
        with jax.ensure_compile_time_eval():
            if bool(jnp.any(x[1:] > x[:-1])):
                raise ValueError(
                    f"{type(penalty).__name__}.strengths of shape {x.shape} increase somewhere: expected "
                    "λ_1 ≥ λ_2 ≥ …, the largest first; sort them with `strengths[::-1]` or `jnp.sort`"
                )


def _falling(penalty: Penalty, strengths: Array, count: Any, w: Array) -> Array:
    """The strengths, if there are so many; NaN where traced ones increase."""
    if strengths.ndim == 0:
        return strengths
    if strengths.shape != (count,):
        raise ValueError(
            f"{type(penalty).__name__}.strengths of shape {strengths.shape} on a leaf of shape {w.shape}: "
            f"expected one number, or {count} of them in one axis; for leaves of several sizes give a tree"
        )
    valid = jnp.all(strengths[1:] <= strengths[:-1])
    return jnp.where(valid, strengths, jnp.nan)
