"""Penalty: a value and a prox, bound to strengths and to a selection of leaves."""

import abc
import dataclasses
import enum
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import jax
import numpy as np
from jax import Array

from penalties._numerics import widen
from penalties._penalty import evaluation, flax_states
from penalties._penalty.composing import Composable
from penalties._penalty.fields import (
    Kind,
    check_static,
    group_weights,
    is_word,
    kind_of,
    names,
    nested,
    parameter,
    range_of,
    register,
    remade,
    sequence,
    static,
    weights_like,
)
from penalties._penalty.names import name_of
from penalties._penalty.partitions import Partition
from penalties._penalty.strengths import as_jax_leaf, checked, checked_factor, is_number, times
from penalties._penalty.text import shortest, shown
from penalties._tree.selection import Selector, Where, selector, weights
from penalties._tree.types import Numeric, Params, Step

T = TypeVar("T")


class Order(enum.IntEnum):
    """Where a penalty stands in the prox of a sum on one leaf.

    The prox of a sum is the proxes one after another, in this order, where the mathematics allows
    it: anything after a quadratic, the absolute value after what sees the weights jointly (total
    variation, sorted weights), and a group norm after the absolute value (Yu, On decomposing the proximal
    map, NeurIPS 2013, theorem 4 and proposition 3); non-negativity before anything that is `monotone`, an
    interval after the absolute value, and a Euclidean ball, which scales, after norms within it.

    >>> from penalties import L1, L2, GroupLasso
    >>> [penalty.order.name for penalty in (L2(1.0), L1(1.0), GroupLasso(1.0))]
    ['QUADRATIC', 'ABSOLUTE', 'GROUPWISE']
    """

    QUADRATIC = 0
    NON_NEGATIVE = 1
    JOINT = 2
    ABSOLUTE = 3
    GROUPWISE = 4
    INTERVAL = 5
    BALL = 6
    ALONE = 7


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(static, parameter, nested, sequence, weights_like, group_weights, dataclasses.field),
)
class Penalty(Composable, abc.ABC):
    """A penalty R: calling it on params is R(params); `.prox(params, step)` is its prox.

    To write one, subclass and give the formulas for one array; strengths are plain fields, other numbers
    `parameter`, anything else `static`. Selection, dtypes, boxes, sums and validation are handled around it.
    The class becomes an immutable dataclass and a pytree whose leaves are its numbers. Most penalties are
    functions of sizes: then subclass `SizePenalty`. One without a prox leaves out `prox_at`.

    >>> import jax.numpy as jnp
    >>> from penalties import Penalty
    >>> class Quartic(Penalty):
    ...     strength: float
    ...     def value_at(self, w):
    ...         return jnp.sum(self.strength * w**4)
    >>> penalty = Quartic(0.5) + Quartic(0.1).on("a")
    >>> round(float(penalty({"a": jnp.array([1.0, 2.0]), "b": jnp.array([1.0])})), 4)
    10.7
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]
    order: ClassVar[Order] = Order.ALONE
    kink: ClassVar[bool] = True  # whether it is not differentiable somewhere; at zero, of a SettlingPenalty
    of_trees: ClassVar[bool] = False  # whether its value is of a whole tree, and not a sum over leaves
    joint: ClassVar[Hashable] = None  # what tells apart weights that it sees jointly; None for single weights
    spans_leaves: ClassVar[bool] = False  # whether it is of several leaves together: see `SpanningPenalty`
    monotone: ClassVar[bool] = False  # whether it is of the moduli |w| alone, and does not fall as one grows
    flat: ClassVar[bool] = False  # whether its gradient is 0 wherever there is one: no loss feels it
    name_in_config: ClassVar[str]
    way_out: ClassVar[str] = (
        "use `penalties.proximal(penalty, step_size)` at the end of a chain, or `add_penalty(penalty)` in "
        "front of the optimizer"
    )

    # NumPy scalars leave `np.float64(2) * penalty` to `__rmul__`.
    __array_ufunc__ = None

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, repr=False, eq=False)(cls)
        cls.name_in_config = vars(cls).get("name_in_config", name_of(cls, Penalty))
        if abc.ABC not in cls.__bases__:  # an abstract class has no fields yet
            register(cls)
            flax_states.register(cls)

    def __post_init__(self):
        flax_states.register_if_flax_is_there()
        for field in dataclasses.fields(self):
            name, value = f"{self.name_in_config}.{field.name}", getattr(self, field.name)
            match kind_of(field):
                case Kind.STATIC:
                    check_static(value, name)
                case Kind.NESTED:
                    _check_nested(value, name)
                case _ if not is_word(value):
                    number = checked(value, name, range_of(self, field.name))
                    object.__setattr__(self, field.name, number)

    # The formulas, for one array, in its accumulator's dtype.

    @abc.abstractmethod
    def value_at(self, w: Array) -> Array:
        """R(w) of one array of float32 (float64 for float64 leaves), as a scalar of its dtype."""

    def prox_at(self, v: Array, step: Array) -> Array:
        """argmin_z step·R(z) + ½‖z − v‖² of one array; step is a scalar or broadcasts to v."""
        raise TypeError(
            f"{type(self).__name__} has no prox in closed form: use it in a loss, or "
            "`add_penalty(penalty)` in front of the optimizer"
        )

    def value_of_leaf(self, w: Array) -> Array:
        """R(w) of one array in the dtype it is kept in."""
        return self.value_at(widen(w))

    def require_prox_with(self, other: "Penalty", w: Array) -> None:
        """Raises if the prox of other, on a leaf like w, may not follow that of this one in a sum."""

    def all_in_groups(self, mask: Array) -> Array | None:
        """Whether the mask, bools of one array's weights, holds all over each group; None without groups."""
        return None

    # What users call, on whole trees.

    def __call__(self, params: Params) -> Array:
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

    def prox(self, params: T, step: Step = 1.0) -> T:
        """argmin_z step·R(z) + ½‖z − params‖², leaf by leaf, unselected leaves untouched.

        Args:
            params: any pytree of weights, or a Flax NNX module (a new module is returned).
            step: a number ≥ 0, an array that broadcasts to each leaf, or a tree like params.

        Returns:
            A tree like params, each leaf of the shape, sharding and box it had, and of its dtype: that which
            JAX has for it, so that float64 of NumPy is float32 unless JAX's 64-bit types are enabled.
        """
        return evaluation.prox(self, params, checked(step, "step"))

    def subgradient(self, params: T, grads: T) -> T:
        """The element of grads + ∂R(params) of least norm; 0 exactly at a stationary point.

        Args:
            params: any pytree of weights.
            grads: the gradient of the loss without the penalty, a tree like params; of complex weights
                conjugated.

        Returns:
            A tree like grads.
        """
        settling.check_settling(self)
        return evaluation.subgradient(self, params, grads)

    def settle(self, params: T, moved: T, direction: T) -> T:
        """`moved`, with exact zeros where the way from `params` crossed a kink.

        Args:
            params: the weights before a step.
            moved: the weights after it.
            direction: what the optimizer was fed: `self.subgradient(params, grads)`.
        """
        settling.check_settling(self)
        return evaluation.settle(self, params, moved, direction)

    def on(self, where: Where = weights, *, exclude: Where | None = None) -> "Penalty":
        """The same penalty on the chosen leaves only.

        Args:
            where: a glob on leaf paths (`*` within a segment, `**` across), a tuple of globs, a pure
                function `(path, leaf) -> bool` (what it closes over is read once), a (prefix) tree of bools,
                an nnx filter, or `penalties.kernels`. By default all weights: what is floating or complex.
            exclude: the same, for leaves to leave out.

        >>> import jax.numpy as jnp
        >>> from penalties import L1
        >>> params = {"a": {"kernel": jnp.ones(2)}, "b": {"kernel": jnp.ones(3), "bias": jnp.ones(3)}}
        >>> float(L1(1.0).on("**/kernel", exclude="a/**")(params))
        3.0
        """
        if where is weights and exclude is None:
            raise TypeError('expected a selection, such as `.on("**/kernel")` or `.on(exclude="**/bias")`')
        return algebra.Selected(self, selector(where), None if exclude is None else selector(exclude))

    def __add__(self, other: "Penalty") -> "Penalty":
        if isinstance(other, Penalty):
            return algebra.Sum((*self.terms_of_sum(), *other.terms_of_sum()))
        return self if _is_start_of_sum(other) else NotImplemented

    def __radd__(self, other: Any) -> "Penalty":
        return self if _is_start_of_sum(other) else NotImplemented  # sum([...]) starts from 0

    def __mul__(self, factor: Numeric) -> Self:
        _refuse_schedule(factor, self)
        if not is_number(factor):
            return NotImplemented
        return self.scaled(checked_factor(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Numeric) -> Self:
        _refuse_schedule(divisor, self)
        if not is_number(divisor):
            return NotImplemented
        return self.scaled(checked_factor(1 / checked(divisor, "the divisor of a penalty")))

    def scaled(self, factor: Numeric) -> Self:
        """The penalty with every strength times the factor: factor·R, where R is linear in them."""
        strengths = {
            name: jax.tree.map(lambda strength: times(as_jax_leaf(strength), factor), getattr(self, name))
            for name in names(self, Kind.STRENGTH)
        }
        nested = {
            name: jax.tree.map(lambda p: p.scaled(factor), getattr(self, name), is_leaf=is_penalty)
            for name in names(self, Kind.NESTED)
        }
        return remade(self, **strengths, **nested)

    def terms_of_sum(self) -> tuple["Penalty", ...]:
        """The terms of which this is the sum: of itself alone, or those of a `Sum`."""
        return (self,)

    def atoms(self) -> Iterator[tuple["Penalty", tuple[Any, ...]]]:
        """The penalties this one is a sum of, each with the selections around it."""
        yield self, ()

    def parts(self) -> tuple["Penalty", ...]:
        """Penalties of a lower `order` that this one is the sum of, on one leaf: of itself alone."""
        return (self,)

    def to_config(self) -> dict[str, Any]:
        """A dict of plain Python numbers, strings and lists; `penalties.from_config` reads it.

        Raises:
            TypeError: a selection by a function or an nnx filter, or a penalty `of` a function, which no dict
                can hold.
        """
        return {"name": self.name_in_config} | {f.name: plain(getattr(self, f.name)) for f in self.told()}

    def told(self) -> tuple[dataclasses.Field, ...]:
        """The fields that its repr and its config name: all."""
        return dataclasses.fields(self)

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
        fields = self.told()
        text = ", ".join(
            shown(getattr(self, f.name)) if len(fields) == 1 else f"{f.name}={shown(getattr(self, f.name))}"
            for f in fields
        )
        return f"{self.name_in_config}({text})"


def plain(value: Any) -> Any:
    """A field's value in plain Python: what `to_config` writes."""
    if isinstance(value, (Penalty, Selector, Partition)):
        return value.to_config()
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return {"array": shortest(value).tolist()} if value.ndim else float(shortest(value))
    return value


def is_penalty(x: Any) -> bool:
    """Whether x is a Penalty."""
    return isinstance(x, Penalty)


def check_penalty(x: Any, name: str, or_else: str = "") -> None:
    """Raises TypeError unless x is a Penalty; `or_else` says what else there is."""
    if not isinstance(x, Penalty):
        raise TypeError(
            f"{name} is {x!r} of type {type(x).__name__}: expected a Penalty such as L1(1e-4){or_else}"
        )


def _check_nested(value: Any, name: str) -> None:
    for penalty in value if isinstance(value, tuple) else (value,):
        check_penalty(penalty, name)


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    # Not np.array_equal, which takes traced numbers, that cannot be compared, for different ones.
    return np.shape(one) == np.shape(other) and bool(np.all(np.asarray(one) == np.asarray(other)))


def _refuse_schedule(factor: Any, penalty: Penalty) -> None:
    if callable(factor) and not isinstance(factor, Penalty):
        raise TypeError(
            f"a penalty times the function {getattr(factor, '__name__', factor)!r}: of a schedule make a "
            f"function that returns a penalty, `lambda step: schedule(step) * {penalty!r}`, and give it to "
            "`penalized`, `add_penalty` or `proximal`"
        )


def _is_start_of_sum(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x == 0


# Last, for they are subclasses of Penalty.
from penalties._penalty import algebra, settling  # noqa: E402
