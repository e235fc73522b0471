"""A penalty whose factor is steered leaf by leaf, and which at last only holds its zeros."""

from collections.abc import Hashable

import jax.numpy as jnp
from jax import Array

from penalties._choose.units import sizes, spread
from penalties._penalty.fields import nested, parameter
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.strengths import Strength


class Steered(SettlingPenalty):
    """factor · R, and with `holds` = 1 infinity wherever what is zero now would leave zero.

    Args:
        penalty: R.
        factor: one for each leaf.
        holds: 0, or 1.
    """

    penalty: SettlingPenalty = nested()
    factor: Strength
    holds: Strength = parameter(at_least=0)

    @property
    def kink(self) -> bool:
        """Whether R has one."""
        return self.penalty.kink

    @property
    def joint(self) -> Hashable:
        """Those of R."""
        return self.penalty.joint

    def value_at(self, w: Array) -> Array:
        return self._steered.value_at(w)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        least = self._steered.subgradient_at(w, gradient, average)
        return jnp.where(self._held(w), jnp.zeros_like(least), least) if self.kink else least

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return self._steered.settles_at(w, moved, direction, average) | self._held(w)

    @property
    def _steered(self) -> SettlingPenalty:
        return self.penalty.scaled(self.factor)

    def _held(self, w: Array) -> Array:
        return (self.holds > 0) & spread(self.penalty, sizes(self.penalty, w) == 0, w)
