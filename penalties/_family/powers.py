"""Powers of single weights, Σ|w|^q for q = 0, ½ and ⅔: nearer to counting weights than L1 is.

Their slope at zero is infinite, so that a zero is a local minimum whatever the loss: there is a prox, and
no rule for zeros under `penalized`. Below 1 a power is not convex, and the prox jumps, from 0 to a nonzero
weight.
"""

import abc
from typing import TYPE_CHECKING, Any, ClassVar, final

import jax.numpy as jnp
from jax import Array

from penalties._penalty.sizes import PenaltyOfSizes
from penalties._penalty.strengths import Strength


class Power(PenaltyOfSizes, abc.ABC):
    """strength · Σ|w|^q, 0 ≤ q < 1."""

    if TYPE_CHECKING:  # a field of each subclass
        strength: ClassVar[Any]

    def half_width(self, w: Array) -> Array:
        return jnp.where(self.strength > 0, jnp.inf, self.strength).astype(w.real.dtype)


@final
class L0(Power):
    """strength · the number of nonzero weights.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    The prox is hard thresholding, exact for any step: a weight of √(2·step·λ) or less becomes 0, and all
    others stay as they are. The gradient is 0 everywhere, so that in a loss it does nothing: train with
    `proximal`. `Sparse(count)` says how many weights are left, in place of what each costs.

    >>> import jax.numpy as jnp
    >>> from penalties import L0
    >>> penalty = L0(0.5)
    >>> float(penalty(jnp.array([0.0, 0.25, -3.0])))
    1.0
    >>> penalty.prox(jnp.array([0.0, 0.25, -3.0]), step=1.0).tolist()
    [0.0, 0.0, -3.0]

    Source: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81 (1994);
    Blumensath and Davies, Iterative thresholding for sparse approximations, J. Fourier Anal. Appl. 14
    (2008).
    """

    strength: Strength

    flat = True

    def value_of(self, r: Array) -> Array:
        return self.strength * jnp.where(jnp.isnan(r), r, (r != 0).astype(r.dtype))

    def slope_of(self, r: Array) -> Array:
        return jnp.where(jnp.isnan(r), r, jnp.zeros_like(r))

    def prox_of(self, r: Array, step: Array) -> Array:
        t = step * self.strength
        return jnp.where(r > jnp.sqrt(2 * t), r, jnp.where(jnp.isnan(r + t), r + t, jnp.zeros_like(r)))


@final
class LHalf(Power):
    """strength · Σ √|w|.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    The prox is the global minimum for any step. It jumps: a weight of 1.5·(step·λ)^⅔ or less becomes 0, and
    none ends between 0 and (step·λ)^⅔. Train with `proximal`; the gradient at 0 is 0, and near it without
    bound.

    >>> import jax.numpy as jnp
    >>> from penalties import LHalf
    >>> penalty = LHalf(1.0)
    >>> float(penalty(jnp.array([0.0, -4.0, 9.0])))
    5.0
    >>> [round(float(z), 3) for z in penalty.prox(jnp.array([1.49, 1.51, -9.0]), step=1.0)]
    [0.0, 1.013, -8.832]

    Source: Xu, Chang, Xu and Zhang, L1/2 regularization: a thresholding representation theory and a fast
    solver, IEEE Trans. Neural Netw. Learn. Syst. 23 (2012).
    """

    strength: Strength

    def value_of(self, r: Array) -> Array:
        return self.strength * _away_from_zero(jnp.sqrt, r)

    def slope_of(self, r: Array) -> Array:
        return self.strength / (2 * jnp.sqrt(r))

    def prox_of(self, r: Array, step: Array) -> Array:
        t = step * self.strength
        kept = r > 1.5 * jnp.cbrt(t) ** 2
        size, by = _where_kept(kept, r, t)
        # z = r·y², y the largest root of y³ − y + k = 0, where k = ½t/r^1.5 ≤ (2/3)^1.5/2, from above.
        k = by / size / jnp.sqrt(size) / 2
        y = _root(3, k, 1 - k / 2 - 3 / 8 * k**2 - 1 / 2 * k**3)
        return _less(r, t, kept, size * (k / y))


@final
class LTwoThirds(Power):
    """strength · Σ |w|^⅔.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    The prox is the global minimum for any step. It jumps: a weight of 2·(⅔·step·λ)^¾ or less becomes 0, and
    none ends between 0 and half of that. Train with `proximal`; the gradient at 0 is 0, and near it without
    bound.

    >>> import jax.numpy as jnp
    >>> from penalties import LTwoThirds
    >>> penalty = LTwoThirds(1.0)
    >>> round(float(penalty(jnp.array([0.0, -8.0, 1.0]))), 4)
    5.0
    >>> [round(float(z), 3) for z in penalty.prox(jnp.array([1.47, 1.48, -9.0]), step=1.0)]
    [0.0, 0.744, -8.676]

    Source: Cao, Sun and Xu, Fast image deconvolution using closed-form thresholding formulas of L_q (q = ½,
    ⅔) regularization, J. Vis. Commun. Image Represent. 24 (2013).
    """

    strength: Strength

    def value_of(self, r: Array) -> Array:
        return self.strength * _away_from_zero(lambda r: _cube_root(r) ** 2, r)

    def slope_of(self, r: Array) -> Array:
        return self.strength * (2 / 3) / _cube_root(r)

    def prox_of(self, r: Array, step: Array) -> Array:
        t = step * self.strength
        edge = jnp.sqrt(2 / 3 * t)
        kept = r > 2 * edge * jnp.sqrt(edge)
        size, by = _where_kept(kept, r, t)
        # z = r·y³, y the largest root of y⁴ − y + k = 0, where k = ⅔t/r^(4/3) ≤ 2^(-4/3), from above.
        k = (2 / 3) * by / size / _cube_root(size)
        y = _root(4, k, 1 - k / 3 - 2 / 9 * k**2 - 20 / 81 * k**3)
        return _less(r, t, kept, size * (k / y))


def _away_from_zero(f: Any, r: Array) -> Array:
    """f(r), and 0 where r is 0, with the derivative 0."""
    zero = r == 0
    return jnp.where(zero, jnp.zeros_like(r), f(jnp.where(zero, jnp.ones_like(r), r)))


def _root(power: int, k: Array, y: Array) -> Array:
    """The largest root of y^power − y + k, by Newton's method from the first terms of its series.

    The closed forms of the papers, by cosines and cube roots, are the same, and take ten times as long.
    """
    for _ in range(4 if y.dtype == jnp.float64 else 3):
        y = y - (y**power - y + k) / (power * y ** (power - 1) - 1)
    return y


def _cube_root(r: Array) -> Array:
    """r^⅓ of r > 0, and one step of Newton's; `jnp.cbrt` is one number at a time on CPUs."""
    root = jnp.exp(jnp.log(r) / 3)
    return jnp.where(root < jnp.inf, root - (root - r / root / root) / 3, root)


def _where_kept(kept: Array, r: Array, t: Array) -> tuple[Array, Array]:
    """r and t where there is a root, and it is finite; elsewhere 1 and 0, of which the root is 1."""
    found = kept & (r < jnp.inf)
    return jnp.where(found, r, jnp.ones_like(r)), jnp.where(found, t, jnp.zeros_like(t))


def _less(r: Array, t: Array, kept: Array, by: Array) -> Array:
    """z = r − by, by = t·φ′(z), where r is kept, else 0; NaN stays NaN.

    As a difference, for which a step of 0 changes nothing, and of the error of z a third is left.
    """
    return jnp.where(kept, r - by, jnp.where(jnp.isnan(r + t), r + t, jnp.zeros_like(r)))
