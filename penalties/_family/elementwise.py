"""Penalties of single weights: L1, L2, ElasticNet."""

from typing import final

import jax.numpy as jnp
from jax import Array

from penalties._numerics import is_small, like, modulus, ratio, weighted_squares, weighted_sum
from penalties._penalty.base import Average, Order, Penalty, SettlingPenalty
from penalties._penalty.strengths import Strength


def soft_threshold(x: Array, threshold: Array) -> Array:
    """sign(x)·max(|x| − threshold, 0); NaN stays NaN."""
    if jnp.iscomplexobj(x):
        size = jnp.abs(x)
        return x * like(ratio(size - jnp.minimum(size, threshold), size), x)
    return x - jnp.clip(x, -threshold, threshold)


@final
class L1(SettlingPenalty):
    """The lasso penalty, strength · Σ|w|: weights become exactly zero, and features are selected.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these. The
            penalty is not divided by the number of weights or of samples.

    Complex weights count by their modulus. The subgradient at 0 is 0.

    >>> import jax.numpy as jnp
    >>> from penalties import L1
    >>> penalty = L1(0.5)
    >>> params = {"kernel": jnp.array([[3.0, -0.25], [0.0, 1.0]])}
    >>> float(penalty(params))
    2.125
    >>> penalty.prox(params, step=1.0)["kernel"].tolist()
    [[2.5, 0.0], [0.0, 0.5]]

    Source: Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 58 (1996); its prox
    is soft thresholding, Parikh and Boyd, Proximal algorithms (2014), section 6.5.2.
    """

    strength: Strength

    order = Order.ABSOLUTE

    def value_at(self, w: Array) -> Array:
        return weighted_sum(modulus(w), self.strength)

    def prox_at(self, v: Array, step: Array) -> Array:
        return soft_threshold(v, step * self.strength)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        at_zero = soft_threshold(average, self.strength)
        at_kink = (w == 0) & (self.strength > 0)
        return jnp.where(at_kink, at_zero, gradient + like(self.strength, w) * jnp.sign(w))

    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        # At zero the average has decided the direction alone: asked here, the gradient is not read again.
        subgradient = direction if average is None else soft_threshold(average.gradient, self.strength)
        side = jnp.sign(jnp.where(w == 0, -subgradient, w))
        # ≤ and not "not >": NaN is kept, not taken for a crossing.
        crossed = jnp.real(moved * jnp.conj(side)) <= 0
        return jnp.where(crossed & (self.strength > 0), jnp.zeros_like(moved), moved)


@final
class L2(SettlingPenalty):
    """The ridge penalty, strength · Σw²: without ½, as in textbooks and in Keras.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    The gradient is 2·strength·w, so that `optax.adamw(weight_decay=2 * strength)` decays as this
    does. Complex weights count by their modulus.

    >>> import jax.numpy as jnp
    >>> from penalties import L2
    >>> penalty = L2(0.5)
    >>> float(penalty(jnp.array([3.0, -1.0])))
    5.0
    >>> penalty.prox(jnp.array([3.0, -1.0]), step=1.0).tolist()
    [1.5, -0.5]

    Source: Hoerl and Kennard, Ridge regression, Technometrics 12 (1970); the prox is division by
    1 + 2·step·strength.
    """

    strength: Strength

    order = Order.QUADRATIC

    def value_at(self, w: Array) -> Array:
        return weighted_squares(w, self.strength)

    def prox_at(self, v: Array, step: Array) -> Array:
        return v / like(1 + 2 * step * self.strength, v)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        return gradient + like(2 * self.strength, w) * w

    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return moved


@final
class ElasticNet(SettlingPenalty):
    """l1 · Σ|w| + l2 · Σw²: selects as the lasso does, and shares weight over collinear features.

    Args:
        l1: strength of Σ|w|, ≥ 0. A number, an array that broadcasts to each leaf, or a tree.
        l2: strength of Σw² (no ½), likewise.

    >>> import jax.numpy as jnp
    >>> from penalties import ElasticNet
    >>> penalty = ElasticNet(l1=1.0, l2=0.5)
    >>> float(penalty(jnp.array([3.0, -1.0])))
    9.0
    >>> penalty.prox(jnp.array([3.0, -1.0]), step=1.0).tolist()
    [1.0, 0.0]

    Source: Zou and Hastie, Regularization and variable selection via the elastic net, JRSS B 67
    (2005); the prox is soft thresholding by step·l1, then division by 1 + 2·step·l2.
    """

    l1: Strength
    l2: Strength

    order = Order.ABSOLUTE

    def value_at(self, w: Array) -> Array:
        if not is_small(w):  # two sums compile three times as long as one
            return L1(self.l1).value_at(w) + L2(self.l2).value_at(w)
        size = modulus(w)
        return jnp.sum((self.l1 + self.l2 * size) * size)

    def prox_at(self, v: Array, step: Array) -> Array:
        return soft_threshold(v, step * self.l1) / like(1 + 2 * step * self.l2, v)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        return L1(self.l1).subgradient_at(w, gradient, average) + like(2 * self.l2, w) * w

    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return L1(self.l1).settle_at(w, moved, direction, average)

    def parts(self) -> tuple[Penalty, ...]:
        return L2(self.l2), L1(self.l1)
