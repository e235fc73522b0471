"""SettlingPenalty: what a penalty is that `penalized` can train with."""

import abc

import jax
import jax.numpy as jnp
from jax import Array

from penalties._penalty.base import Penalty
from penalties._penalty.rule import Average


class SettlingPenalty(Penalty, abc.ABC):
    """A penalty whose kinks, if any, are at zero weights or zero groups: `penalized` can train with it.

    Most are functions of sizes, and subclass `SizePenalty`, which has the rule below. A sum or a selection
    is a SettlingPenalty if and only if what it is made of is.

    Attributes:
        kink: whether there is a kink at zero. Without one nothing settles, and no average is kept.

    >>> import jax.numpy as jnp
    >>> from penalties import SettlingPenalty
    >>> class Absolute(SettlingPenalty):
    ...     strength: float
    ...     def value_at(self, w):
    ...         return jnp.sum(self.strength * jnp.abs(w))
    ...     def subgradient_at(self, w, gradient, average):
    ...         at_zero = average - jnp.clip(average, -self.strength, self.strength)
    ...         return jnp.where(w == 0, at_zero, gradient + self.strength * jnp.sign(w))
    ...     def settles_at(self, w, moved, direction, average):
    ...         return moved * jnp.sign(jnp.where(w == 0, -direction, w)) <= 0
    >>> penalty, w = Absolute(0.5), jnp.array([1.0, 0.0, 0.0])
    >>> penalty.subgradient(w, jnp.array([-0.5, 0.25, 1.0])).tolist()
    [0.0, 0.0, 0.5]
    """

    @abc.abstractmethod
    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        """The element of gradient + ∂R(w) of least norm; where w is at a kink, of average + ∂R(w)."""

    @abc.abstractmethod
    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        """Where `moved` is to become exactly zero, for the step from w crossed a kink: bools.

        `direction` is what the optimizer was fed. `average` is of the gradient of the loss; without
        one (None), only what crossed settles. It is asked only if there is a kink.
        """

    def settled_at(self, w: Array) -> Array:
        """What a weight becomes that settles: 0."""
        return jnp.zeros_like(w)


class SmoothPenalty(SettlingPenalty, abc.ABC):
    """A penalty that is differentiable everywhere: a value is all it needs, in a loss and under `penalized`.

    >>> import jax.numpy as jnp
    >>> from penalties import SmoothPenalty
    >>> class Quartic(SmoothPenalty):
    ...     strength: float
    ...     def value_at(self, w):
    ...         return jnp.sum(self.strength * w**4)
    >>> Quartic(0.5).subgradient(jnp.array([1.0, 2.0]), jnp.zeros(2)).tolist()
    [2.0, 16.0]
    """

    kink = False

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        return gradient + jnp.conj(jax.grad(self.value_at)(w))  # JAX's of complex weights is the conjugate

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return jnp.zeros_like(w, jnp.bool_)


def check_settling(penalty: Penalty) -> None:
    """Raises TypeError, with a way out, if a term of the penalty has no rule for exact zeros."""
    for atom, _ in penalty.atoms():
        if not isinstance(atom, SettlingPenalty):
            raise TypeError(
                f"{type(atom).__name__} has no `subgradient_at` and `settles_at`, the rule by which exact "
                f"zeros are reached: {atom.way_out}"
            )
