"""Nonconvex penalties of single weights, which leave large weights as they are: MCP, SCAD, LogSum.

`penalized` stops at stationary points of loss + penalty, of which there may be several.
"""

from typing import final

import jax.numpy as jnp
from jax import Array

from penalties._penalty.fields import parameter
from penalties._penalty.sizes import SizePenalty
from penalties._penalty.strengths import Strength


@final
class MCP(SizePenalty):
    """The minimax concave penalty, Σ λ·|w| − w²/(2γ) up to |w| = γλ, constant beyond: L1 without its bias.

    Args:
        strength: λ ≥ 0, the slope at 0. A number, an array that broadcasts to each leaf, or a tree of these.
        gamma: γ > 1; weights beyond γλ are not shrunk at all. `2 * MCP(0.3, gamma=4)` has λ = 0.6 and γ = 4.

    The prox is the global minimum for any step; for a step below γ it is continuous, and single-valued.

    >>> import jax.numpy as jnp
    >>> from penalties import MCP
    >>> penalty = MCP(1.0, gamma=3.0)
    >>> float(penalty(jnp.array([1.5, -9.0])))
    2.625
    >>> penalty.prox(jnp.array([0.5, -9.0]), step=1.0).tolist()
    [0.0, -9.0]

    Source: Zhang, Nearly unbiased variable selection under minimax concave penalty, Ann. Statist. 38 (2010).
    """

    strength: Strength
    gamma: Strength = parameter(default=3.0, above=1)

    def value_of(self, r: Array) -> Array:
        # Cut before it is squared: what is beyond may overflow.
        inner = jnp.minimum(r, self.gamma * self.strength)
        return inner * (self.strength - inner / (2 * self.gamma))

    def slope_of(self, r: Array) -> Array:
        return jnp.maximum(self.strength - r / self.gamma, 0)

    def prox_of(self, r: Array, step: Array) -> Array:
        edge = self.gamma * self.strength
        short = step < self.gamma
        shrunk = jnp.maximum(r - step * self.strength, 0) / jnp.where(short, 1 - step / self.gamma, 1)
        # With a longer step the objective is concave up to the edge: its minimum is at 0 or beyond.
        jump = jnp.sqrt(step * self.gamma) * self.strength
        # Of a step close to γ the quotient may be more than r, by rounding.
        kept = (r > jnp.where(short, edge, jump)) | (shrunk > r)
        # What is not greater may be NaN, and stays it.
        return jnp.where(kept, r, jnp.where(short, shrunk, 0 * (r + step + edge)))


@final
class SCAD(SizePenalty):
    """Smoothly clipped absolute deviation: the slope is λ up to λ, falls to 0 at aλ, and stays 0.

    Σ φ(|w|) with φ(r) = λ·min(r, aλ) − (min(r, aλ) − λ)₊²/(2(a − 1)).

    Args:
        strength: λ ≥ 0, the slope at 0. A number, an array that broadcasts to each leaf, or a tree of these.
        a: > 2; weights beyond aλ are not shrunk at all. `2 * SCAD(0.3, a=4)` has λ = 0.6 and a = 4.

    The prox is the global minimum for any step; for a step below a − 1 it is continuous, and single-valued.

    >>> import jax.numpy as jnp
    >>> from penalties import SCAD
    >>> penalty = SCAD(1.0, a=3.0)
    >>> penalty(jnp.array([0.5, 2.0, -9.0])).tolist()
    4.25
    >>> penalty.prox(jnp.array([0.5, 1.5, 2.5, -9.0]), step=1.0).tolist()
    [0.0, 0.5, 2.0, -9.0]

    Source: Fan and Li, Variable selection via nonconcave penalized likelihood and its oracle properties,
    JASA 96 (2001), equations 2.7 and 2.8."""

    strength: Strength
    a: Strength = parameter(default=3.7, above=2)

    def value_of(self, r: Array) -> Array:
        # Cut before it is squared: what is beyond may overflow.
        inner = jnp.minimum(r, self.a * self.strength)
        bent = jnp.maximum(inner - self.strength, 0)
        return self.strength * inner - bent * (bent / (2 * (self.a - 1)))

    def slope_of(self, r: Array) -> Array:
        return jnp.minimum(jnp.maximum(self.a * self.strength - r, 0) / (self.a - 1), self.strength)

    def prox_of(self, r: Array, step: Array) -> Array:
        edge, bend = self.a * self.strength, self.a - 1
        short = step < bend
        soft = jnp.maximum(r - step * self.strength, 0)
        # Between λ and aλ, where it is the larger of the two.
        bent = r - step * (edge - r) / jnp.where(short, bend - step, 1)
        # With a longer step the objective is concave there: its minimum is the soft threshold, or r itself.
        # The two are as good at the jump, where the first is 0 if step ≥ a + 1.
        far = step >= self.a + 1
        jump = self.strength * jnp.where(
            far, jnp.sqrt(step * jnp.where(far, self.a + 1, 1)), (step + self.a + 1) / 2
        )
        shrunk = jnp.where(short, jnp.maximum(soft, bent), soft + 0 * self.a)
        return jnp.where(r > jnp.where(short, edge, jump), r, shrunk)


@final
class LogSum(SizePenalty):
    """strength · Σ log(1 + |w|/ε): the slope at 0 is strength/ε, and falls as 1/|w|.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.
        epsilon: ε > 0, the size at which the slope has halved.

    The prox is the global minimum for any step; for step·strength ≤ ε² it is continuous.

    >>> import jax.numpy as jnp
    >>> from penalties import LogSum
    >>> penalty = LogSum(1.0, epsilon=1.0)
    >>> round(float(penalty(jnp.array([0.0, -1.0]))), 4)
    0.6931
    >>> print(penalty.prox(jnp.array([0.5, -3.0]), step=1.0).round(3))
    [ 0.    -2.732]

    Source: Candès, Wakin and Boyd, Enhancing sparsity by reweighted ℓ1 minimization, J. Fourier Anal. Appl.
    14 (2008); the prox is Gong et al., A general iterative shrinkage and thresholding algorithm, ICML 2013.
    """

    strength: Strength
    epsilon: Strength = parameter(above=0)

    def value_of(self, r: Array) -> Array:
        return self.strength * jnp.log1p(r / self.epsilon)

    def slope_of(self, r: Array) -> Array:
        return self.strength / (self.epsilon + r)

    def prox_of(self, r: Array, step: Array) -> Array:
        t = step * self.strength
        # The larger root of (z − r)(ε + z) + t = 0, if there is one.
        half = (r - self.epsilon) / 2
        under = (r + self.epsilon) ** 2 / 4 - t
        real = under > 0
        root = half + jnp.where(real, jnp.sqrt(jnp.where(real, under, 1)), 0)
        gain = r**2 / 2 - t * jnp.log1p(jnp.maximum(root, 0) / self.epsilon) - (root - r) ** 2 / 2
        # Beyond t/ε zero is no minimum at all. Below, a long step may leave two, of which the lower is taken.
        kept = (r > t / self.epsilon) | ((under >= 0) & (root > 0) & (gain > 0))
        # As a difference, for which a step of 0 changes nothing, and NaN stays; 0 where it rounds to less.
        new = r - t / (self.epsilon + root)
        return jnp.where((kept & ~(new < 0)) | jnp.isnan(r + t + self.epsilon), new, 0 * r)
