"""Penalties of the differences of neighbours along an axis: TotalVariation, SquaredDifferences."""

from collections.abc import Callable
from typing import final

import jax
import jax.numpy as jnp
from jax import Array, lax

from penalties._family.runs import means_of_runs, variation_signs
from penalties._numerics import modulus, scaled_square, weighted_sum
from penalties._penalty.axes import axis_of, checked_axis, require_one_per_line
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import number_names, static
from penalties._penalty.settling import SmoothPenalty
from penalties._penalty.strengths import Strength


@final
class TotalVariation(Penalty):
    """strength · Σ|w_{i+1} − w_i| along an axis: the weights become constant piece by piece.

    Args:
        strength: λ ≥ 0; a number, or an array with one entry for each line, of length 1 along `axis`.
        axis: along which neighbours are compared; all other axes count lines.

    The prox is exact, by dynamic programming in a loop of 3n turns for lines of n weights, all lines at once.
    `TotalVariation(s, axis) + L1(t)` is the fused lasso, which has a prox as well. A line that holds NaN or
    infinity comes out as NaN. Complex leaves have a value and no prox. Its kinks are where neighbours are
    equal, and not at zero: train with `proximal`.

    >>> import jax.numpy as jnp
    >>> from penalties import TotalVariation
    >>> penalty = TotalVariation(1.5)
    >>> w = jnp.array([1.0, 2.0, 0.0, 8.0, 9.0])
    >>> float(penalty(w))
    18.0
    >>> penalty.prox(w).tolist()
    [1.5, 1.5, 1.5, 7.75, 7.75]

    Raises:
        ValueError: a leaf has no such axis; a strength or a step varies along it.

    Source: Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, Physica D 60
    (1992); the prox is Johnson, JCGS 22 (2013), the fused lasso Friedman et al., Pathwise coordinate
    optimization, Ann. Appl. Stat. 1 (2007).
    """

    strength: Strength
    axis: int = static(default=-1)

    order = Order.JOINT

    def __post_init__(self):
        object.__setattr__(self, "axis", checked_axis(self))
        super().__post_init__()

    @property
    def joint(self) -> tuple[str, int]:
        """The axis: variations along different ones have no prox in common."""
        return "variation", self.axis

    def value_at(self, w: Array) -> Array:
        strength = require_one_per_line(self.strength, "strength", self, w)
        return weighted_sum(modulus(jnp.diff(w, axis=axis_of(self, w))), strength)

    def prox_at(self, v: Array, step: Array) -> Array:
        if jnp.iscomplexobj(v):
            raise TypeError(
                f"TotalVariation has no prox of complex weights ({v.dtype}): use `add_penalty(penalty)` in "
                "front of the optimizer"
            )
        return _along_lines(_of_constant_runs, self, self.strength, v, step)

    def require_prox_with(self, other: Penalty, w: Array) -> None:
        for name in number_names(other):
            require_one_per_line(getattr(other, name), name, self, w)


def _of_constant_runs(v: Array, by: Array) -> Array:
    """argmin_x by·Σ|x_{i+1} − x_i| + ½‖x − v‖² of one line."""
    signs = lax.stop_gradient(variation_signs(lax.stop_gradient(v), lax.stop_gradient(by)))
    before = jnp.roll(signs, 1)
    new = means_of_runs(v + by * (signs - before), before != 0)
    new = jnp.where(jnp.all(jnp.isfinite(v)), new, jnp.nan)
    return jnp.where(by == 0, v, new)


@final
class SquaredDifferences(SmoothPenalty):
    """strength · Σ(w_{i+1} − w_i)² along an axis, without ½: neighbours become alike, without steps.

    Args:
        strength: λ ≥ 0; a number, or an array with one entry for each line, of length 1 along `axis`.
        axis: along which neighbours are compared; all other axes count lines.

    It has no kink, and gives no zeros: `SquaredDifferences(1e-2, 0) + L1(1e-3)` trains under `penalized`.

    >>> import jax.numpy as jnp
    >>> from penalties import SquaredDifferences
    >>> penalty = SquaredDifferences(0.5)
    >>> float(penalty(jnp.array([1.0, 3.0, 3.0, 0.0])))
    6.5
    >>> penalty.prox(jnp.array([0.0, 3.0])).tolist()
    [1.0, 2.0]

    Raises:
        ValueError: a leaf has no such axis; a strength or a step varies along it.

    Source: Whittaker, On a new method of graduation, Proc. Edinburgh Math. Soc. 41 (1922); the prox solves
    the tridiagonal system (I + 2·step·strength·DᵀD)·z = v for the differences D.
    """

    strength: Strength
    axis: int = static(default=-1)

    def __post_init__(self):
        object.__setattr__(self, "axis", checked_axis(self))
        super().__post_init__()

    def value_at(self, w: Array) -> Array:
        strength = require_one_per_line(self.strength, "strength", self, w)
        return jnp.sum(scaled_square(jnp.diff(w, axis=axis_of(self, w)), strength))

    def prox_at(self, v: Array, step: Array) -> Array:
        if jnp.iscomplexobj(v):
            return lax.complex(self.prox_at(jnp.real(v), step), self.prox_at(jnp.imag(v), step))
        return _along_lines(_solve, self, self.strength, v, step)


def _solve(v: Array, by: Array) -> Array:
    """argmin_x by·Σ(x_{i+1} − x_i)² + ½‖x − v‖² of one line."""
    n = v.shape[0]
    inner = jnp.arange(n) > 0
    before = jnp.where(inner, -2 * by, 0)
    after = before[::-1]
    new = lax.linalg.tridiagonal_solve(before, 1 - before - after, after, v[:, None])[:, 0]
    return jnp.where(by == 0, v, new)


def _along_lines(
    of_line: Callable[[Array, Array], Array], penalty: Penalty, strength: Array, v: Array, step: Array
) -> Array:
    """of_line(line, step·strength) for each line of v along the penalty's axis."""
    axis = axis_of(penalty, v)
    by = require_one_per_line(step, "step", penalty, v)
    by = by * require_one_per_line(strength, "strength", penalty, v)
    if 0 in v.shape:
        return v
    lines = jnp.moveaxis(v, axis, -1)
    by = jnp.moveaxis(by, axis, -1)[..., 0] if by.ndim else by
    for _ in range(v.ndim - 1):
        of_line = jax.vmap(of_line)
    return jnp.moveaxis(of_line(lines, jnp.broadcast_to(by, lines.shape[:-1])), -1, axis)
