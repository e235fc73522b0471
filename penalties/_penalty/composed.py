"""What `penalty.around(...)`, `.of(...)`, `.smoothed(...)` and `.conjugate()` make."""

from collections.abc import Callable, Hashable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from penalties._numerics import like, scaled_square
from penalties._penalty.base import Penalty
from penalties._penalty.fields import nested, parameter, remade, static, weights_like
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty, SmoothPenalty
from penalties._penalty.strengths import Strength, is_number, times
from penalties._penalty.text import shown
from penalties._tree.opening import Opened
from penalties._tree.paths import is_inexact


class Around(Penalty):
    """R(params − center): what `penalty.around(params0)` makes."""

    penalty: Penalty = nested()
    center: Any = weights_like()

    def __new__(cls, penalty: Penalty | None = None, *rest: Any, **named: Any) -> "Around":
        del rest, named
        return object.__new__(SettlingAround if isinstance(penalty, SettlingPenalty) else cls)

    def value_at(self, w: Array) -> Array:
        return self.penalty.value_at(w - self.center)

    @property
    def flat(self) -> bool:
        """Whether the penalty is."""
        return self.penalty.flat

    def prox_at(self, v: Array, step: Array) -> Array:
        away = v - self.center
        new = self.penalty.prox_at(away, step)
        # What is not moved stays what it is, and center + 0 is the center: both to the last bit.
        return jnp.where(new == away, v, self.center + new)

    def __repr__(self) -> str:
        return f"({self.penalty!r}).around(...)"


class SettlingAround(Around, SettlingPenalty):
    """R(params − center) of a penalty with a rule for zeros, which then is one for the center."""

    name_in_config = "Around"

    @property
    def kink(self) -> bool:
        """Whether the penalty has one."""
        return self.penalty.kink

    @property
    def joint(self) -> Hashable:
        """Those of the penalty."""
        return self.penalty.joint

    @property
    def _settling(self) -> SettlingPenalty:
        return cast(SettlingPenalty, self.penalty)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        return self._settling.subgradient_at(w - self.center, gradient, average)

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return self._settling.settles_at(w - self.center, moved - self.center, direction, average)

    def settled_at(self, w: Array) -> Array:
        return jnp.broadcast_to(self.center, w.shape)


class Of(Penalty):
    """R(function(params)): what `penalty.of(function)` makes."""

    penalty: Penalty = nested()
    function: Callable[[Any], Any] = static()

    of_trees = True
    way_out = "use it in a loss"

    def value_at(self, w: Array) -> Array:
        return self.penalty(self.function(w))

    def to_config(self) -> dict[str, Any]:
        raise TypeError(
            f"{self!r} cannot be written to a config, which holds no functions: write {self.penalty!r}, and "
            "call `.of(function)` on what is read"
        )

    def __repr__(self) -> str:
        return f"({self.penalty!r}).of({getattr(self.function, '__name__', self.function)})"


class Smoothed(SmoothPenalty):
    """factor · the Moreau envelope of a penalty: what `penalty.smoothed(mu)` makes."""

    penalty: Penalty = nested()
    mu: Strength = parameter(above=0)
    factor: Strength = 1.0

    def scaled(self, factor: Any) -> "Smoothed":
        return remade(self, factor=times(self.factor, factor))

    def value_at(self, w: Array) -> Array:
        return jnp.sum(self.factor * _envelope(self.penalty, w, self.mu))

    def prox_at(self, v: Array, step: Array) -> Array:
        step = step * self.factor
        new = self.penalty.prox_at(v, step + self.mu)
        return v + like(step / (step + self.mu), v) * (new - v)

    def __repr__(self) -> str:
        return _times(self.factor, f"({self.penalty!r}).smoothed({shown(self.mu)})")


@jax.custom_jvp
def _envelope(penalty: Penalty, w: Array, mu: Array) -> Array:
    z = penalty.prox_at(w, mu)
    return penalty.value_at(z) + jnp.sum(scaled_square(w - z, 1 / (2 * mu)))


@_envelope.defjvp
def _envelope_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (penalty, w, mu), (dpenalty, dw, dmu) = primals, tangents
    slope = (w - penalty.prox_at(w, mu)) / like(mu, w)
    # At the minimum over z its own derivative is 0: z is a constant.
    z, at = lax.stop_gradient(w - slope * like(mu, w)), lax.stop_gradient(w)

    def of_numbers(penalty: Penalty, mu: Array) -> Array:
        return penalty.value_at(z) + jnp.sum(scaled_square(at - z, 1 / (2 * mu)))

    value, by_numbers = jax.jvp(of_numbers, (penalty, mu), (dpenalty, dmu))
    return value, by_numbers + jnp.sum(jnp.real(jnp.conj(slope) * dw))


class Conjugate(Penalty):
    """factor · R*, the convex conjugate of a penalty, of which the prox is known: `.conjugate()` makes it."""

    penalty: Penalty = nested()
    factor: Strength = 1.0

    def scaled(self, factor: Any) -> "Conjugate":
        return remade(self, factor=times(self.factor, factor))

    def value_at(self, w: Array) -> Array:
        raise TypeError(
            f"the conjugate of {type(self.penalty).__name__} has a prox and no value in closed form: call "
            "`penalty.conjugate().prox(params, step)`"
        )

    def prox_at(self, v: Array, step: Array) -> Array:
        step = step * self.factor
        return v - like(step, v) * self.penalty.prox_at(v / like(step, v), 1 / step)

    def __repr__(self) -> str:
        return _times(self.factor, f"({self.penalty!r}).conjugate()")


def _times(factor: Any, text: str) -> str:
    return text if type(factor) is float and factor == 1 else f"{shown(factor)} * {text}"


def weights_by_path(params: Any) -> Any:
    """The floating leaves of params by path; a number, which is for all leaves, as it is."""
    if is_number(params) and np.ndim(params) == 0:
        return params
    weights = {leaf.path: leaf.value for leaf in Opened(params).leaves if leaf.trainable and is_inexact(leaf)}
    if not weights:
        raise ValueError("there is nothing to be around: params0 has no floating leaf that is trained")
    return weights
