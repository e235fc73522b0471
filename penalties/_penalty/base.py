"""Penalty: a value and a prox, bound to strengths and to a selection of leaves."""

import abc
import dataclasses
import enum
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

import jax
import numpy as np
from jax import Array

from penalties._penalty import evaluation, flax_states
from penalties._penalty.fields import register, static, static_names, strength_names
from penalties._penalty.strengths import checked, checked_factor, is_number, times
from penalties._penalty.text import shortest, shown
from penalties._tree.selection import Selector, Where, selector, weights

T = TypeVar("T")


class Order(enum.IntEnum):
    """Where a penalty stands in the prox of a sum on one leaf.

    The prox of a sum is the proxes one after another, in this order, where the mathematics allows
    it: anything after a quadratic, and a group norm after the absolute value (Yu, On decomposing
    the proximal map, NeurIPS 2013, theorem 4 and proposition 3).
    """

    QUADRATIC = 0
    ABSOLUTE = 1
    GROUPWISE = 2
    ALONE = 3


class Average(NamedTuple):
    """A running average of the gradient of one array, and the weight of the newest one in it.

    It has gathered for about 1/weight steps.
    """

    gradient: Array
    weight: Array


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
class Penalty(abc.ABC):
    """A penalty R: calling it on params is R(params); `.prox(params, step)` is its prox.

    To write one, subclass and give the formulas for one array; strengths are plain fields, anything
    else is `static`. Selection, dtypes, boxes, sums and validation are handled around it. The class
    becomes an immutable dataclass and a pytree whose leaves are the strengths.

    >>> import jax.numpy as jnp
    >>> from penalties import Penalty
    >>> class Quartic(Penalty):
    ...     strength: float
    ...     def value_at(self, w):
    ...         return jnp.sum(self.strength * w**4)
    ...     def prox_at(self, v, step):
    ...         raise NotImplementedError("no closed form")
    >>> penalty = Quartic(0.5) + Quartic(0.1).on("a")
    >>> round(float(penalty({"a": jnp.array([1.0, 2.0]), "b": jnp.array([1.0])})), 4)
    10.7
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]
    order: ClassVar[Order] = Order.ALONE

    # NumPy scalars leave `np.float64(2) * penalty` to `__rmul__`.
    __array_ufunc__ = None

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, repr=False, eq=False)(cls)
        if abc.ABC not in cls.__bases__:  # an abstract class has no fields yet
            register(cls)
            flax_states.register(cls)

    def __post_init__(self):
        for name in strength_names(self):
            object.__setattr__(self, name, checked(getattr(self, name), f"{type(self).__name__}.{name}"))

    # The formulas, for one array, in its accumulator's dtype.

    @abc.abstractmethod
    def value_at(self, w: Array) -> Array:
        """R(w) of one array of float32 (float64 for float64 leaves), as a scalar of its dtype."""

    @abc.abstractmethod
    def prox_at(self, v: Array, step: Array) -> Array:
        """argmin_z step·R(z) + ½‖z − v‖² of one array; step is a scalar or broadcasts to v."""

    # What users call, on whole trees.

    def __call__(self, params: Any) -> Array:
        """R(params): a scalar, float32 (float64 if a selected leaf is), differentiable and jitted.

        Of a tree without leaves, such as {} or None, it is 0; a selection that matches none is an error.

        Args:
            params: any pytree of weights, or a Flax NNX module; boxed or not.

        Raises:
            TypeError: a selected leaf is not of a floating or complex dtype; no leaf is; params hold
                the state of an optimizer, as a Flax `TrainState` does.
            ValueError: a selection matches no leaf; a strength does not broadcast to its leaf.
        """
        return evaluation.value(self, params)

    def prox(self, params: T, step: Any = 1.0) -> T:
        """argmin_z step·R(z) + ½‖z − params‖², leaf by leaf, unselected leaves untouched.

        Args:
            params: any pytree of weights, or a Flax NNX module (a new module is returned).
            step: a number ≥ 0, an array that broadcasts to each leaf, or a tree like params.

        Returns:
            A tree like params, each leaf of the dtype, shape, sharding and box it had.
        """
        return evaluation.prox(self, params, checked(step, "step"))

    def subgradient(self, params: T, grads: T) -> T:
        """The element of grads + ∂R(params) of least norm; 0 exactly at a stationary point.

        Args:
            params: any pytree of weights.
            grads: the gradient of the loss without the penalty, a tree like params.

        Returns:
            A tree like grads.
        """
        check_settling(self)
        return evaluation.subgradient(self, params, grads)

    def settle(self, params: T, moved: T, direction: T) -> T:
        """`moved`, with exact zeros where the way from `params` crossed a kink.

        Args:
            params: the weights before a step.
            moved: the weights after it.
            direction: what the optimizer was fed: `self.subgradient(params, grads)`.
        """
        check_settling(self)
        return evaluation.settle(self, params, moved, direction)

    def on(self, where: Where = weights, *, exclude: Where | None = None) -> "Penalty":
        """The same penalty on the chosen leaves only.

        Args:
            where: a glob on leaf paths (`*` within a segment, `**` across), a tuple of globs, a
                function `(path, leaf) -> bool`, a (prefix) tree of bools, an nnx filter, or
                `penalties.kernels`. By default all weights: what is floating or complex.
            exclude: the same, for leaves to leave out.

        >>> import jax.numpy as jnp
        >>> from penalties import L1
        >>> params = {"a": {"kernel": jnp.ones(2)}, "b": {"kernel": jnp.ones(3), "bias": jnp.ones(3)}}
        >>> float(L1(1.0).on("**/kernel", exclude="a/**")(params))
        3.0
        """
        if where is weights and exclude is None:
            raise TypeError('expected a selection, such as `.on("**/kernel")` or `.on(exclude="**/bias")`')
        return Selected(self, selector(where), None if exclude is None else selector(exclude))

    def __add__(self, other: "Penalty") -> "Penalty":
        if isinstance(other, Penalty):
            return Sum((*_terms(self), *_terms(other)))
        return self if _is_zero(other) else NotImplemented

    def __radd__(self, other: Any) -> "Penalty":
        return self if _is_zero(other) else NotImplemented  # sum([...]) starts from 0

    def __mul__(self, factor: Any) -> Self:
        _refuse_schedule(factor, self)
        if not is_number(factor):
            return NotImplemented
        return self.scaled(checked_factor(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Self:
        _refuse_schedule(divisor, self)
        if not is_number(divisor):
            return NotImplemented
        return self.scaled(checked_factor(1 / checked(divisor, "the divisor of a penalty")))

    def scaled(self, factor: Any) -> Self:
        """factor·R. Here: every strength times the factor; override where R is not linear in them."""
        return jax.tree.map(lambda strength: times(strength, factor), self)

    def atoms(self) -> Iterator[tuple["Penalty", tuple["Selected", ...]]]:
        """The penalties this one is a sum of, each with the selections around it."""
        yield self, ()

    def parts(self) -> tuple["Penalty", ...]:
        """Penalties of a lower `order` that this one is the sum of, on one leaf: of itself alone."""
        return (self,)

    def to_config(self) -> dict[str, Any]:
        """A dict of plain Python numbers, strings and lists; `penalties.from_config` reads it.

        Raises:
            TypeError: a selection by a function or an nnx filter, which no dict can hold.
        """
        return {"name": type(self).__name__} | {
            f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)
        }

    # Not those of dataclasses: arrays of strengths have no truth value.

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        strengths, rest = jax.tree.flatten(self)
        their_strengths, their_rest = jax.tree.flatten(other)
        return rest == their_rest and all(map(_equal, strengths, their_strengths))

    def __hash__(self) -> int:
        strengths, rest = jax.tree.flatten(self)
        if any(np.ndim(strength) for strength in strengths):
            raise TypeError(f"{self!r} is not hashable: its strengths are arrays")
        return hash((rest, *map(float, strengths)))  # equal penalties, whatever kinds of numbers they hold

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)
        text = ", ".join(
            shown(getattr(self, f.name)) if len(fields) == 1 else f"{f.name}={shown(getattr(self, f.name))}"
            for f in fields
        )
        return f"{type(self).__name__}({text})"


class SettlingPenalty(Penalty, abc.ABC):
    """A penalty whose kinks are at zero weights or zero groups: `penalized` can train with it.

    >>> import jax.numpy as jnp
    >>> from penalties import SettlingPenalty
    >>> class Absolute(SettlingPenalty):
    ...     strength: float
    ...     def value_at(self, w):
    ...         return jnp.sum(self.strength * jnp.abs(w))
    ...     def prox_at(self, v, step):
    ...         return v - jnp.clip(v, -step * self.strength, step * self.strength)
    ...     def subgradient_at(self, w, gradient, average):
    ...         at_zero = average - jnp.clip(average, -self.strength, self.strength)
    ...         return jnp.where(w == 0, at_zero, gradient + self.strength * jnp.sign(w))
    ...     def settle_at(self, w, moved, direction, average):
    ...         side = jnp.where(w == 0, -direction, w)
    ...         return jnp.where(moved * jnp.sign(side) <= 0, 0.0, moved)
    >>> penalty, w = Absolute(0.5), jnp.array([1.0, 0.0, 0.0])
    >>> penalty.subgradient(w, jnp.array([-0.5, 0.25, 1.0])).tolist()
    [0.0, 0.0, 0.5]
    """

    @abc.abstractmethod
    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        """The element of gradient + ∂R(w) of least norm; where w is at a kink, of average + ∂R(w)."""

    @abc.abstractmethod
    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        """`moved`, with exact zeros where the step from w crossed a kink.

        `direction` is what the optimizer was fed. `average` is of the gradient of the loss; without
        one (None), only what crossed settles.
        """


class Sum(SettlingPenalty):
    """The sum of several penalties: what `p + q` makes."""

    terms: tuple[Penalty, ...]

    def __post_init__(self):
        pass  # the terms have checked their strengths

    def atoms(self) -> Iterator[tuple[Penalty, tuple["Selected", ...]]]:
        for term in self.terms:
            yield from term.atoms()

    def value_at(self, w: Array) -> Array:
        return sum((term.value_at(w) for term in self.terms[1:]), self.terms[0].value_at(w))

    def prox_at(self, v: Array, step: Array) -> Array:
        for part in self._in_order():
            v = part.prox_at(v, step)
            if part.order == Order.QUADRATIC:
                # prox_{t(R + q‖·‖²)}(v) = prox_{t'R}(v/(1 + 2tq)) with t' = t/(1 + 2tq), and the
                # prox of a quadratic is that division.
                step = part.prox_at(step, step)
        return v

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        for part in self._in_order():
            gradient, average = (
                part.subgradient_at(w, gradient, average),  # type: ignore[attr-defined]
                part.subgradient_at(w, average, average),  # type: ignore[attr-defined]
            )
        return gradient

    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        for part in self._in_order():
            moved = part.settle_at(w, moved, direction, average)  # type: ignore[attr-defined]
            if average is not None:
                gradient = average.gradient
                gradient = part.subgradient_at(w, gradient, gradient)  # type: ignore[attr-defined]
                average = average._replace(gradient=gradient)
        return moved

    def _in_order(self) -> list[Penalty]:
        parts = sorted((part for term in self.terms for part in term.parts()), key=lambda p: p.order)
        kinks = [part for part in parts if part.order > Order.QUADRATIC]
        groups = [part for part in kinks if part.order == Order.GROUPWISE]
        alone = any(part.order == Order.ALONE for part in kinks) and len(kinks) > 1
        if alone or any(_kind(group) != _kind(groups[0]) for group in groups):
            raise TypeError(
                f"the sum {' + '.join(type(part).__name__ for part in parts)} on one leaf has no prox "
                "and no rule for zeros in closed form: give each penalty leaves of its own with "
                "`.on(...)`, or add one of them to the loss"
            )
        return parts

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


class Selected(SettlingPenalty):
    """A penalty on chosen leaves: what `p.on(where, exclude=...)` makes."""

    penalty: Penalty
    where: Selector = static()
    exclude: Selector | None = static()

    def __post_init__(self):
        pass  # the penalty has checked its strengths

    def atoms(self) -> Iterator[tuple[Penalty, tuple["Selected", ...]]]:
        for atom, selections in self.penalty.atoms():
            yield atom, (*selections, self)

    # Which leaves is decided by their paths; one array alone has none.

    def value_at(self, w: Array) -> Array:
        return self.penalty.value_at(w)

    def prox_at(self, v: Array, step: Array) -> Array:
        return self.penalty.prox_at(v, step)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        return self.penalty.subgradient_at(w, gradient, average)  # type: ignore[attr-defined]

    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return self.penalty.settle_at(w, moved, direction, average)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        inner = f"({self.penalty!r})" if isinstance(self.penalty, Sum) else repr(self.penalty)
        return f"{inner}.on({self.selection()})"

    def selection(self) -> str:
        """The arguments of `.on`, as text."""
        named = [] if self.where is weights else [repr(self.where)]
        return ", ".join(named if self.exclude is None else [*named, f"exclude={self.exclude!r}"])


def check_settling(penalty: Penalty) -> None:
    """Raises TypeError, with a way out, if a term of the penalty has no rule for exact zeros."""
    for atom, _ in penalty.atoms():
        if not isinstance(atom, SettlingPenalty):
            raise TypeError(
                f"{type(atom).__name__} has no `subgradient_at` and `settle_at`, the rule by which exact "
                "zeros are reached: use `penalties.proximal(penalty, step_size)` at the end of a chain, "
                "or `add_penalty(penalty)` in front of the optimizer"
            )


def plain(value: Any) -> Any:
    """A field's value in plain Python: what `to_config` writes."""
    if isinstance(value, (Penalty, Selector)):
        return value.to_config()
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return {"array": shortest(value).tolist()} if value.ndim else float(shortest(value))
    return value


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    # Not np.array_equal, which takes traced numbers, that cannot be compared, for different ones.
    return np.shape(one) == np.shape(other) and bool(np.all(np.asarray(one) == np.asarray(other)))


def _kind(penalty: Penalty) -> tuple[Any, ...]:
    return (type(penalty), *(getattr(penalty, name) for name in static_names(penalty)))


def _refuse_schedule(factor: Any, penalty: Penalty) -> None:
    if callable(factor) and not isinstance(factor, Penalty):
        raise TypeError(
            f"a penalty times the function {getattr(factor, '__name__', factor)!r}: of a schedule make a "
            f"function that returns a penalty, `lambda step: schedule(step) * {penalty!r}`, and give it to "
            "`penalized`, `add_penalty` or `proximal`"
        )


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.terms if isinstance(penalty, Sum) else (penalty,)


def _is_zero(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x == 0
