"""The fields of a penalty: strengths, which are a pytree's leaves, and static ones, which are not."""

import dataclasses
from typing import Any

import jax

from penalties._penalty.strengths import as_jax_leaf


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field of a penalty that is no strength (an axis, a shape): neither traced nor scaled."""
    return dataclasses.field(default=default, metadata={"static": True})


def strength_names(penalty: Any) -> tuple[str, ...]:
    """The names of the fields of a penalty, or of its class, that are strengths."""
    return tuple(f.name for f in dataclasses.fields(penalty) if not f.metadata.get("static"))


def static_names(penalty: Any) -> tuple[str, ...]:
    """The names of the fields of a penalty, or of its class, that are no strengths."""
    return tuple(f.name for f in dataclasses.fields(penalty) if f.metadata.get("static"))


def register(cls: type) -> None:
    """Makes a class of penalties a pytree whose leaves are the strengths."""
    leaves, statics = strength_names(cls), static_names(cls)

    def flatten(self):
        return tuple(_leaves(getattr(self, n)) for n in leaves), tuple(getattr(self, n) for n in statics)

    def flatten_with_keys(self):
        children, aux = flatten(self)
        return tuple(zip(map(jax.tree_util.GetAttrKey, leaves), children, strict=True)), aux

    def unflatten(aux, children):
        # Not through __init__: the leaves may be tracers, gradients, specs or placeholders.
        self = object.__new__(cls)
        for name, value in zip((*leaves, *statics), (*children, *aux), strict=True):
            object.__setattr__(self, name, value)
        return self

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


def _leaves(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)):
        return jax.tree.map(as_jax_leaf, value)
    return as_jax_leaf(value)
