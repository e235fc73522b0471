"""Convex penalties of single weights: L1, L2, ElasticNet, Huber."""

from typing import final

import jax.numpy as jnp
from jax import Array

from penalties._numerics import is_small, modulus, scaled_square, weighted_squares, weighted_sum
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import parameter
from penalties._penalty.sizes import SizePenalty
from penalties._penalty.strengths import Strength


@final
class L1(SizePenalty):
    """The lasso penalty, strength · Σ|w|: weights become exactly zero, and features are selected.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these. The
            penalty is not divided by the number of weights or of samples.

    Complex weights count by their modulus. The subgradient at 0 is 0. Of a leaf of more than 65,536 weights
    Σ|w| is summed before it is scaled: where it overflows, at 3.4e38 in float32, the value is inf, and the
    gradient is not.

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

    def value_of(self, r: Array) -> Array:
        return self.strength * r

    def slope_of(self, r: Array) -> Array:
        return self.strength

    def prox_of(self, r: Array, step: Array) -> Array:
        return jnp.maximum(r - step * self.strength, 0)

    def prox_at(self, v: Array, step: Array) -> Array:
        return super().prox_at(v, step) if jnp.iscomplexobj(v) else _shrunk(v, step * self.strength)

    def value_at(self, w: Array) -> Array:  # half the time of the general one, with its gradient
        return weighted_sum(modulus(w), self.strength)


@final
class L2(SizePenalty):
    """The ridge penalty, strength · Σw²: without ½, as in textbooks and in Keras.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    The gradient is 2·strength·w, so that `optax.adamw(weight_decay=2 * strength)` decays as this
    does. Complex weights count by their modulus. Of a leaf of more than 65,536 weights Σw² is summed before
    it is scaled: where it overflows, at 3.4e38 in float32, the value is inf, and the gradient is not.

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

    kink = False

    def value_of(self, r: Array) -> Array:
        return scaled_square(r, self.strength)

    def slope_of(self, r: Array) -> Array:
        return (2 * self.strength) * r

    def prox_of(self, r: Array, step: Array) -> Array:
        return r / (1 + 2 * step * self.strength)

    def value_at(self, w: Array) -> Array:  # half the time of the general one, with its gradient
        return weighted_squares(w, self.strength)


@final
class ElasticNet(SizePenalty):
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

    def value_of(self, r: Array) -> Array:
        return self.l1 * r + scaled_square(r, self.l2)

    def slope_of(self, r: Array) -> Array:
        return self.l1 + (2 * self.l2) * r

    def prox_of(self, r: Array, step: Array) -> Array:
        return jnp.maximum(r - step * self.l1, 0) / (1 + 2 * step * self.l2)

    def prox_at(self, v: Array, step: Array) -> Array:
        if jnp.iscomplexobj(v):
            return super().prox_at(v, step)
        return _shrunk(v, step * self.l1) / (1 + 2 * step * self.l2)

    def value_at(self, w: Array) -> Array:
        if not is_small(w):  # two sums compile three times as long as one
            return L1(self.l1).value_at(w) + L2(self.l2).value_at(w)
        size = modulus(w)
        return jnp.sum((self.l1 + self.l2 * size) * size)

    def parts(self) -> tuple[Penalty, ...]:
        return L2(self.l2), L1(self.l1)


@final
class Huber(SizePenalty):
    """strength · Σ h(|w|), h(r) = ½r² up to delta, delta·(r − ½·delta) beyond: no pull grows with the weight.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.
        delta: > 0, where the quadratic part ends.

    It shrinks small weights as ½·strength·Σw² does, and large ones by a constant amount; it has no kink,
    and gives no zeros.

    >>> import jax.numpy as jnp
    >>> from penalties import Huber
    >>> penalty = Huber(1.0)
    >>> float(penalty(jnp.array([0.5, -3.0])))
    2.625
    >>> penalty.prox(jnp.array([0.5, -3.0]), step=1.0).tolist()
    [0.25, -2.0]

    Source: Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964); its prox is
    Beck, First-order methods in optimization (2017), section 6.7.1.
    """

    strength: Strength
    delta: Strength = parameter(default=1.0, above=0)

    kink = False

    def value_of(self, r: Array) -> Array:
        # Cut before it is squared: what is beyond may overflow.
        inner = jnp.minimum(r, self.delta)
        return self.strength * (inner * (r - inner / 2))

    def slope_of(self, r: Array) -> Array:
        return self.strength * jnp.minimum(r, self.delta)

    def prox_of(self, r: Array, step: Array) -> Array:
        t = step * self.strength
        return jnp.where(r <= self.delta * (1 + t), r / (1 + t), r - t * self.delta)


def _shrunk(v: Array, by: Array) -> Array:
    """sign(v)·max(|v| − by, 0), in fewer operations than that of sizes."""
    return v - jnp.clip(v, -by, by)
