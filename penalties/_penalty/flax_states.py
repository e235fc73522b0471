"""Penalties in Flax's checkpoints: what `flax.serialization` writes of one, and reads into one.

A penalty is written as its config is, {"name": class name, field: value, ...}, with strengths as the
arrays they are. Read are the strengths alone; the class and the static fields are those of the target,
and must be the ones that were written.
"""

import sys
from typing import Any

import jax

from penalties._penalty.fields import Kind, names, remade
from penalties._penalty.partitions import Partition
from penalties._tree.selection import Selector

_READ = (Kind.STRENGTH, Kind.PARAMETER, Kind.NESTED)
_unregistered: list[type] = []


def register(cls: type) -> None:
    """Makes a class of penalties one that Flax can serialize: now, or when Flax is there."""
    _unregistered.append(cls)
    register_if_flax_is_there()


def register_if_flax_is_there() -> None:
    """Tells Flax of all classes of penalties that it was not told of, if it is imported."""
    if _unregistered and "flax.serialization" in sys.modules:
        register_all()


def register_all() -> None:
    """Tells Flax of all classes of penalties that it was not told of.

    Flax asks a table by type, and has no hook to be asked by: this imports it, once, where a state is
    made that may be serialized.
    """
    if _unregistered:
        from flax import serialization

        while _unregistered:
            serialization.register_serialization_state(_unregistered.pop(), _to_state, _from_state)


def _to_state(penalty: Any) -> dict[str, Any]:
    from flax.serialization import to_state_dict

    statics = {name: to_state_dict(_plain(getattr(penalty, name))) for name in _told(penalty, Kind.STATIC)}
    numbers = {name: to_state_dict(getattr(penalty, name)) for name in _told(penalty, *_READ)}
    return {"name": penalty.name_in_config} | statics | numbers


def _from_state(target: Any, state: dict[str, Any]) -> Any:
    from flax.serialization import current_path, from_state_dict

    if not isinstance(state, dict) or _shape_of(state, target) != _shape_of(_to_state(target), target):
        raise ValueError(
            f"the checkpoint has {state} at {current_path()!r}, and the target is {target!r}: build the "
            "penalty as it was built when the checkpoint was written; only the numbers may differ"
        )
    return remade(  # unchecked, as from a pytree: strengths stay the arrays they are
        target,
        **{n: from_state_dict(getattr(target, n), state[n], name=n) for n in _told(target, *_READ)},
    )


def _shape_of(state: dict[str, Any], penalty: Any) -> dict[str, Any]:
    """What a checkpoint and its target must have in common: all but the numbers."""
    read = _told(penalty, *_READ)
    return {name: jax.tree.structure(x) if name in read else x for name, x in state.items()}


def _told(penalty: Any, *kinds: Kind) -> tuple[str, ...]:
    """The names of the fields of these kinds that its config names."""
    told = {field.name for field in penalty.told()}
    return tuple(name for name in names(penalty, *kinds) if name in told)


def _plain(value: Any) -> Any:
    """A static field in plain values."""
    if not isinstance(value, (Selector, Partition)):
        return value
    try:
        return value.to_config()
    except TypeError:  # a function or an nnx filter cannot be written: only that it is one
        return type(value).__name__
