"""Other norms of groups than the Euclidean one: GroupLInf, ExclusiveLasso."""

from typing import Any, final

import jax.numpy as jnp
from jax import Array

from penalties._family.partitioned import PartitionedPenalty
from penalties._family.thresholds import ceiling, common_norm
from penalties._numerics import like, modulus, ratio, scaled_square
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import group_weights, static
from penalties._penalty.partitions import Partition
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.sizes import soft_threshold
from penalties._penalty.split import Split
from penalties._penalty.strengths import Strength


@final
class GroupLInf(PartitionedPenalty):
    """strength · Σ_g ω_g·max|w_g|: whole groups become zero, and the largest of the others become equal.

    Args:
        strength: λ ≥ 0; a number, or an array that has one entry for each group along `axis`.
        axis: one group per index along this axis (or these axes), as in `GroupLasso`.
        groups: other shapes of groups, in place of an axis: see `GroupLasso`.
        weights: ω > 0; a number, an array with one for each group, "sqrt" for √|g|, or "size" for |g|, the
            default: then a group of equal weights costs as much as under `L1` and `GroupLasso`, and groups of
            all sizes become zero as easily, for what holds one at zero is ‖gradient‖₁ ≤ λ·ω_g.

    The prox cuts a group off at the level at which step·λ·ω_g is cut off in all. It has kinks where weights
    of a group are of one modulus, and not only at zero: train with `proximal`.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLInf
    >>> penalty = GroupLInf(0.5)
    >>> w = jnp.array([[3.0, 0.5], [-2.5, 0.25]])
    >>> float(penalty(w))  # 0.5 · 2 · (3 + 0.5)
    3.5
    >>> print(penalty.prox(w))
    [[ 2.25  0.  ]
     [-2.25  0.  ]]

    Raises:
        ValueError: a leaf has no such groups; a strength or a step varies within them.

    Source: Quattoni, Carreras, Collins and Darrell, An efficient projection for ℓ1,∞ regularization, ICML
    2009; the prox is what the projection on an L1 ball leaves, Parikh and Boyd (2014), section 6.5.3.
    """

    strength: Strength
    axis: int | tuple[int, ...] | None = static(default=-1)
    groups: Partition | None = static(default=None, kw_only=True)
    weights: Any = group_weights(default="size")

    order = Order.GROUPWISE
    monotone = True

    @property
    def joint(self) -> Any:
        """The partition; with the Euclidean norm of its groups it has no prox here."""
        return "maximum", self.groups

    def value_at(self, w: Array) -> Array:
        split = self.split(w)
        strength = self.per_group(split, self.strength, "strength")
        weight = self.weight(split, w.real.dtype)
        return jnp.sum(split.once(strength * (weight * split.max(modulus(split.arranged(w))))))

    def prox_at(self, v: Array, step: Array) -> Array:
        split = self.split(v)
        strength = self.per_group(split, self.strength, "strength")
        by = self.per_group(split, step, "step") * (strength * self.weight(split, v.real.dtype))
        v = split.arranged(v)
        sizes = jnp.abs(v)
        return split.restored(_resized(v, sizes, jnp.minimum(sizes, ceiling(sizes, by, split))))


@final
class ExclusiveLasso(PartitionedPenalty, SettlingPenalty):
    """strength · Σ_g ω_g·‖w_g‖₁², without ½: weights of a group compete, and few of each group remain.

    Args:
        strength: λ ≥ 0; a number, or an array that has one entry for each group along `axis`.
        axis: one group per index along this axis (or these axes), as in `GroupLasso`. Of a kernel axis=-1
            has the inputs of an output compete, and axis=-2 the outputs of an input.
        groups: other shapes of groups, in place of an axis: see `GroupLasso`.
        weights: ω > 0; a number, 1 by default, an array with one for each group, "sqrt" for √|g|, or "size".

    It is the opposite of `GroupLasso`: selection is within groups, and each that has anything to say keeps
    some weights. No strength makes a whole group zero. Steps may differ within groups.

    >>> import jax.numpy as jnp
    >>> from penalties import ExclusiveLasso
    >>> penalty = ExclusiveLasso(0.25)
    >>> w = jnp.array([[3.0, 0.5], [-1.0, 0.0]])
    >>> float(penalty(w))  # 0.25 · (4² + 0.5²)
    4.0625
    >>> print(penalty.prox(w, step=2.0).round(4))
    [[1.5  0.25]
     [0.   0.  ]]

    Raises:
        ValueError: a leaf has no such groups; a strength varies within them.

    Source: Zhou, Jin and Hoi, Exclusive lasso for multi-task feature selection, AISTATS 2010; the prox is
    Lin, Yuan, Sun and Toh, A highly efficient algorithm for solving exclusive lasso problems, Optim. Methods
    Softw. (2023), with its threshold found without a sort.
    """

    strength: Strength
    axis: int | tuple[int, ...] | None = static(default=-1)
    groups: Partition | None = static(default=None, kw_only=True)
    weights: Any = group_weights(default=1.0)

    order = Order.GROUPWISE
    monotone = True

    @property
    def joint(self) -> Any:
        """The partition; with a norm of its groups it has no prox."""
        return "exclusive", self.groups

    def value_at(self, w: Array) -> Array:
        split, strength, w = self._opened(w)
        return jnp.sum(split.once(scaled_square(split.sum(modulus(w)), strength)))

    def prox_at(self, v: Array, step: Array) -> Array:
        split, strength, v = self._opened(v)
        by = split.broadcast(step) * (2 * strength)
        sizes = jnp.abs(v)
        left = jnp.maximum(sizes - by * common_norm(sizes, by, split), 0)
        return split.restored(_resized(v, sizes, left))

    def require_prox_with(self, other: Penalty, w: Array) -> None:
        if other.order >= Order.GROUPWISE:
            raise TypeError(
                f"the sum ExclusiveLasso + {other.name_in_config} on one leaf has no prox in closed form: "
                "give each penalty leaves of its own with `.on(...)`, or add one of them to the loss"
            )

    # Of a single weight it is an L1, as strong as the weights of its group together.

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        half_width = self._half_width(w)
        smooth = gradient + like(half_width, w) * jnp.sign(w)
        return jnp.where((w == 0) & (half_width > 0), soft_threshold(average, half_width), smooth)

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        half_width = self._half_width(w)
        subgradient = direction if average is None else soft_threshold(average.gradient, half_width)
        side = jnp.sign(jnp.where(w == 0, -subgradient, w))
        return (jnp.real(moved * jnp.conj(side)) <= 0) & (half_width > 0)

    def _half_width(self, w: Array) -> Array:
        split, strength, w = self._opened(w)
        return split.restored(jnp.broadcast_to((2 * strength) * split.sum(jnp.abs(w)), w.shape))

    def _opened(self, w: Array) -> tuple[Split, Array, Array]:
        """The groups of w, strength·ω of each, and w arranged."""
        split = self.split(w)
        strength = self.per_group(split, self.strength, "strength")
        return split, strength * self.weight(split, w.real.dtype), split.arranged(w)


def _resized(v: Array, sizes: Array, new: Array) -> Array:
    """v with these moduli in place of its own."""
    if jnp.iscomplexobj(v):
        return v * like(ratio(new, sizes), v)
    return jnp.where(new == 0, jnp.zeros_like(v), jnp.sign(v) * new)  # 0, and not −0
