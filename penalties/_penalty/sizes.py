"""Penalties that are a function of sizes r ≥ 0, and what that means for single weights."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from penalties._numerics import like, modulus, phase, ratio
from penalties._penalty.base import Penalty
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty


class PenaltyOfSizes(Penalty, abc.ABC):
    """R(w) = Σ φ(|w|), given by three formulas on sizes r ≥ 0; φ(0) = 0, and φ does not fall.

    Signs, the phases of complex weights, zeros, NaN and dtypes are handled here, once. `Grouped(penalty,
    axis)` applies the same formulas to the root mean square of whole groups, `Spectral(penalty)` to
    singular values.

    Subclass `SizePenalty` if the slope of φ at 0 is finite. Where it is infinite every weight that is zero is
    a local minimum, so that there is no rule by which `penalized` could let it go: then subclass this one.
    Its φ is differentiable but for 0, and `value_of` has the derivative 0 there, for groups that are zero.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import PenaltyOfSizes
    >>> class FourthRoot(PenaltyOfSizes):
    ...     strength: float
    ...     def value_of(self, r):
    ...         zero = r == 0
    ...         return jnp.where(zero, 0, self.strength * jnp.where(zero, 1, r) ** 0.25)
    ...     def slope_of(self, r):
    ...         return self.strength * 0.25 * r**-0.75
    >>> value, gradient = jax.value_and_grad(FourthRoot(0.5))(jnp.array([0.0, -16.0]))
    >>> float(value), gradient.tolist()
    (1.0, [0.0, -0.015625])
    """

    monotone = True

    way_out = (
        "its slope at zero is infinite, which holds every weight at zero for ever. Use "
        "`penalties.proximal(penalty, step_size)` at the end of a chain; `LogSum(strength, epsilon=...)`, "
        "whose slope is finite; or a share of zeros to aim at, `to_sparsity(optimizer, L1(1.0), 0.9, steps)`"
    )

    @abc.abstractmethod
    def value_of(self, r: Array) -> Array:
        """φ(r), entry by entry."""

    @abc.abstractmethod
    def slope_of(self, r: Array) -> Array:
        """φ′(r), at 0 the limit from the right; it may be smaller than r if it does not depend on it."""

    def prox_of(self, r: Array, step: Array) -> Array:
        """argmin_{z ≥ 0} step·φ(z) + ½(z − r)², of all minima the global one."""
        return super().prox_at(r, step)  # raises

    def half_width(self, w: Array) -> Array:
        """The slope of φ at 0: the half-width of the kink."""
        return self.slope_of(jnp.zeros((), w.real.dtype))

    def sizes_at(self, w: Array) -> Array:
        """The sizes r of what becomes zero together: |w|."""
        return jnp.abs(w)

    def slopes_at(self, w: Array) -> Array:
        """φ′ of these sizes; it may be smaller than they are if it does not depend on them."""
        return self.slope_of(self.sizes_at(w))

    def value_at(self, w: Array) -> Array:
        return total(w, self)

    def prox_at(self, v: Array, step: Array) -> Array:
        size = jnp.abs(v)
        if jnp.iscomplexobj(v):
            return v * like(ratio(self.prox_of(size, step), size), v)
        new = self.prox_of(size, step)
        return jnp.where(new == 0, jnp.zeros_like(v), jnp.sign(v) * new)  # 0, and not −0


class SizePenalty(PenaltyOfSizes, SettlingPenalty, abc.ABC):
    """R(w) = Σ φ(|w|) with a finite slope at zero: exact zeros under `penalized` come with three formulas.

    φ(0) = 0, and φ does not fall. `GroupLasso` and `Grouped(penalty, axis)` apply the same formulas to the
    root mean square of whole groups. A penalty whose slope at 0 is 0 has no kink: it sets `kink = False`.

    >>> import jax.numpy as jnp
    >>> from penalties import SizePenalty
    >>> class SquareRootOfOnePlusSquare(SizePenalty):
    ...     strength: float
    ...     kink = False
    ...     def value_of(self, r):
    ...         return self.strength * (jnp.sqrt(1 + r**2) - 1)
    ...     def slope_of(self, r):
    ...         return self.strength * r / jnp.sqrt(1 + r**2)
    >>> round(float(SquareRootOfOnePlusSquare(0.5)(jnp.array([0.0, -1.0]))), 4)
    0.2071
    """

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        smooth = gradient + like(self.slope_of(modulus(w)), w) * phase(w)
        if not self.kink:
            return smooth
        half_width = self.half_width(w)
        return jnp.where((w == 0) & (half_width > 0), soft_threshold(average, half_width), smooth)

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        half_width = self.half_width(w)
        # At zero the average has decided the direction alone: asked here, the gradient is not read again.
        subgradient = direction if average is None else soft_threshold(average.gradient, half_width)
        side = jnp.sign(jnp.where(w == 0, -subgradient, w))
        # ≤ and not "not >": NaN is kept, not taken for a crossing.
        return (jnp.real(moved * jnp.conj(side)) <= 0) & (half_width > 0)


@jax.custom_jvp
def total(w: Array, phi: PenaltyOfSizes) -> Array:
    """Σ φ(|w|), with the derivative φ′(|w|)·sign(w): 0 at 0; value and gradient share no array."""
    return jnp.sum(phi.value_of(jnp.abs(w)))


def _total_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    (w, phi), (dw, dphi) = primals, tangents
    value, tangent = total(w, phi), jnp.zeros((), w.real.dtype)
    if not isinstance(dw, SymbolicZero):
        slope = _smooth_slope(phi, w) if _is_smooth(phi, w) else like(slopes(phi, modulus(w)), w) * phase(w)
        tangent += jnp.sum(jnp.real(jnp.conj(slope) * dw))
    if not all(isinstance(d, SymbolicZero) for d in jax.tree.leaves(dphi)):
        dphi = jax.tree.map(_instantiated, dphi)
        tangent += jax.jvp(lambda phi: jnp.sum(phi.value_of(jnp.abs(w))), (phi,), (dphi,))[1]
    return value, tangent


def _is_smooth(phi: PenaltyOfSizes, w: Array) -> bool:
    return isinstance(phi, SizePenalty) and not phi.kink and not jnp.iscomplexobj(w)


def _smooth_slope(phi: PenaltyOfSizes, w: Array) -> Array:
    """φ′(|w|)·sign(w) where 0 is a point like others: its derivative there is φ″(0), and not 0."""
    side = jax.lax.stop_gradient(jnp.where(w == 0, jnp.ones_like(w), jnp.sign(w)))
    return phi.slope_of(w * side) * side


def slopes(phi: PenaltyOfSizes, r: Array) -> Array:
    """φ′(r) to be multiplied by what is 0 where r is: there it is finite, and so are its derivatives."""
    if isinstance(phi, SizePenalty):
        return phi.slope_of(r)
    return phi.slope_of(jnp.where(r == 0, jnp.ones_like(r), r))


def _instantiated(tangent: Any) -> Array:
    if not isinstance(tangent, SymbolicZero):
        return tangent
    aval: Any = tangent.aval
    return jnp.zeros(aval.shape, aval.dtype)


total.defjvp(_total_jvp, symbolic_zeros=True)


def soft_threshold(x: Array, threshold: Array) -> Array:
    """sign(x)·max(|x| − threshold, 0); NaN stays NaN."""
    if jnp.iscomplexobj(x):
        size = jnp.abs(x)
        return x * like(ratio(size - jnp.minimum(size, threshold), size), x)
    return x - jnp.clip(x, -threshold, threshold)
