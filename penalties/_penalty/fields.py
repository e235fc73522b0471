"""The fields of a penalty: strengths and parameters, which are a pytree's leaves, and static ones.

=============== ================================= ============================ ========================
field           traced, vmapped, differentiated   scaled by `2 * penalty`      examples
=============== ================================= ============================ ========================
a plain one     yes                               yes                          a strength λ
`parameter()`   yes                               no                           MCP's γ, Huber's δ
`static()`      no; hashable                      no                           an axis, a shape
`nested()`      as its own fields are             as its own fields are        the terms of a sum
=============== ================================= ============================ ========================
"""

import dataclasses
import enum
from collections.abc import Hashable, Iterable
from typing import Any, Literal, TypeVar, overload

import jax
import numpy as np
from jax.core import Tracer

from penalties._penalty.strengths import NOT_NEGATIVE, Range, as_jax_leaf

P = TypeVar("P")


class Kind(enum.Enum):
    """What a field of a penalty is."""

    STRENGTH = enum.auto()
    PARAMETER = enum.auto()
    STATIC = enum.auto()
    NESTED = enum.auto()


# For type checkers `default` is by keyword only: there they look for it (PEP 681), and take a field without
# one for a field that must be given.
@overload
def static(*, default: Any = ..., kw_only: Literal[False] = False) -> Any: ...
@overload
def static(*, default: Any = ..., kw_only: Literal[True]) -> Any: ...
def static(default: Any = dataclasses.MISSING, *, kw_only: bool = False) -> Any:
    """A field of a penalty that is no number to train with (an axis, a shape): hashable, and not traced.

    Arrays and traced values are refused when the penalty is made.

    Args:
        default: its default; without one it must be given.
        kw_only: whether it is given by keyword only.
    """
    return dataclasses.field(default=default, kw_only=kw_only, metadata={"kind": Kind.STATIC})


@overload
def parameter(
    *,
    default: Any = ...,
    above: int | None = ...,
    at_least: int | None = ...,
    infinite: bool = ...,
    kw_only: Literal[True] = True,
) -> Any: ...
@overload
def parameter(
    *,
    default: Any = ...,
    above: int | None = ...,
    at_least: int | None = ...,
    infinite: bool = ...,
    kw_only: Literal[False],
) -> Any: ...
def parameter(
    default: Any = dataclasses.MISSING,
    *,
    above: int | None = None,
    at_least: int | None = None,
    infinite: bool = False,
    kw_only: bool = True,
) -> Any:
    """A number that shapes a penalty and is not its strength, given by keyword.

    It is traced, vmapped and differentiated as a strength is, and not scaled: `2 * MCP(0.3, gamma=4)`
    has γ = 4. Concrete numbers out of range are a ValueError; traced ones make the result NaN.

    Args:
        default: its default; without one it must be given.
        above: it must be more than this.
        at_least: it must be this or more.
        infinite: whether it may be infinite.
        kw_only: False for a number that may be given by position: the radius of a ball, which is the only
            number it has.
    """
    metadata = {"kind": Kind.PARAMETER, "range": Range(above, at_least, infinite)}
    return dataclasses.field(default=default, kw_only=kw_only, metadata=metadata)


def sequence() -> Any:
    """A strength that is a number or a vector, which reaches a leaf as it is and is not broadcast to it."""
    return dataclasses.field(metadata={"kind": Kind.STRENGTH, "reaches": "whole"})


def weights_like() -> Any:
    """A number of any sign for each weight: a tree like params, of which each leaf reaches its own."""
    return dataclasses.field(metadata={"kind": Kind.PARAMETER, "range": Range(), "reaches": "like"})


# How the weight of a group follows from its size.
WORDS = ("sqrt", "size")


@overload
def group_weights(*, default: Any, kw_only: Literal[True] = True) -> Any: ...
@overload
def group_weights(*, default: Any, kw_only: Literal[False]) -> Any: ...
def group_weights(*, default: Any, kw_only: bool = True) -> Any:
    """The weights of groups: a word, or a number for all or a vector of them, which are a parameter."""
    metadata = {"kind": Kind.PARAMETER, "range": Range(above=0), "reaches": "whole"}
    return dataclasses.field(default=default, kw_only=kw_only, metadata=metadata)


def is_word(value: Any) -> bool:
    """Whether a field that may hold numbers holds a word in place of them."""
    return isinstance(value, str) and value in WORDS


def nested(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds a penalty, or a tuple of penalties."""
    return dataclasses.field(default=default, metadata={"kind": Kind.NESTED})


def kind_of(field: dataclasses.Field) -> Kind:
    """What this field is."""
    return field.metadata.get("kind", Kind.STRENGTH)


def names(penalty: Any, *kinds: Kind) -> tuple[str, ...]:
    """The names of the fields of these kinds, of a penalty or of its class."""
    return tuple(f.name for f in dataclasses.fields(penalty) if kind_of(f) in kinds)


def number_names(penalty: Any) -> tuple[str, ...]:
    """The names of the fields that hold numbers: strengths and parameters."""
    names_of = names(penalty, Kind.STRENGTH, Kind.PARAMETER)
    return tuple(name for name in names_of if not is_word(getattr(penalty, name)))


def range_of(penalty: Any, name: str) -> Range:
    """What the number in this field may be."""
    field = next(f for f in dataclasses.fields(penalty) if f.name == name)
    return field.metadata.get("range", NOT_NEGATIVE)


def reach_of(penalty: Any, name: str) -> str:
    """By which method of `PerLeaf` the number in this field reaches a leaf."""
    field = next(f for f in dataclasses.fields(penalty) if f.name == name)
    return field.metadata.get("reaches", "at")


def remade(penalty: P, /, **values: Any) -> P:
    """The penalty with other values in these fields, unchecked: they may be traced or placeholders."""
    new = object.__new__(type(penalty))
    for field in dataclasses.fields(penalty):  # type: ignore[arg-type]
        value = values[field.name] if field.name in values else getattr(penalty, field.name)
        object.__setattr__(new, field.name, value)
    return new


def check_static(value: Any, name: str) -> None:
    """Raises TypeError for what cannot be a static field."""
    if isinstance(value, (jax.Array, np.ndarray, Tracer)):
        what = "a traced value" if isinstance(value, Tracer) else "an array"
        raise TypeError(
            f"{name} is {what} of shape {value.shape}: it is a static field, which is compared and hashed "
            "when functions are compiled; give a Python number, a string or a tuple"
        )
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{name} is {value!r} of type {type(value).__name__}: expected something hashable, such as a "
            "tuple"
        ) from None


def register(cls: type) -> None:
    """Makes a class of penalties a pytree whose leaves are its numbers."""
    leaves, statics = names(cls, Kind.STRENGTH, Kind.PARAMETER, Kind.NESTED), names(cls, Kind.STATIC)

    def flatten(self: Any) -> tuple[tuple[Any, ...], tuple[Hashable, ...]]:
        return tuple(_leaves(getattr(self, n)) for n in leaves), tuple(getattr(self, n) for n in statics)

    def flatten_with_keys(self: Any) -> tuple[tuple[Any, ...], tuple[Hashable, ...]]:
        children, aux = flatten(self)
        return tuple(zip(map(jax.tree_util.GetAttrKey, leaves), children, strict=True)), aux

    def unflatten(aux: tuple[Hashable, ...], children: Iterable[Any]) -> Any:
        # Not through __init__: the leaves may be tracers, gradients, specs or placeholders.
        self = object.__new__(cls)
        for name, value in zip((*leaves, *statics), (*children, *aux), strict=True):
            object.__setattr__(self, name, value.text if isinstance(value, _Word) else value)
        return self

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Word:
    """A word where others have a number: a pytree without leaves."""

    text: str


def _leaves(value: Any) -> Any:
    if is_word(value):
        return _Word(value)
    if isinstance(value, (dict, list, tuple)):
        return jax.tree.map(as_jax_leaf, value)
    return as_jax_leaf(value)
