"""From a dict of plain numbers back to a penalty."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

import jax.numpy as jnp

from penalties._penalty.algebra import Selected
from penalties._penalty.base import Penalty
from penalties._penalty.names import is_public
from penalties._penalty.partitions import partition_from_config
from penalties._tree.selection import selector_from_config


def from_config(config: Mapping[str, Any]) -> Penalty:
    """The penalty that `penalty.to_config()` described; classes of your own count once imported.

    Args:
        config: {"name": class name, field: value, ...} of plain numbers, strings and lists.

    Raises:
        ValueError: the class is unknown, or several have its name; a field is missing or not one of its.

    >>> from penalties import L1, from_config
    >>> L1(0.1).to_config()
    {'name': 'L1', 'strength': 0.1}
    >>> from_config({"name": "ElasticNet", "l1": 0.1, "l2": 0.01})
    ElasticNet(l1=0.1, l2=0.01)
    """
    cls = _class_of(config)
    given = {key: value for key, value in config.items() if key != "name"}
    names = [f.name for f in fields(cls)]
    required = [f.name for f in fields(cls) if f.default is MISSING]
    if set(given) - set(names) or set(required) - set(given):
        raise ValueError(f"{cls.__name__} has the fields {names}, the config gives {sorted(given)}")
    if cls is Selected:
        for key in ("where", "exclude"):
            given[key] = None if given[key] is None else selector_from_config(given[key])
        return Selected(from_config(given["penalty"]), given["where"], given["exclude"])
    return cls(**{key: _read(value) for key, value in given.items()})


def _class_of(config: Any) -> type[Penalty]:
    known: dict[str, dict[str, type[Penalty]]] = {}
    for cls in _concrete(Penalty):
        if not _is_chosen(cls):
            # One that is defined anew, as in a notebook, takes the place of the one before.
            known.setdefault(cls.name_in_config, {})[f"{cls.__module__}.{cls.__qualname__}"] = cls
    name = config.get("name") if isinstance(config, Mapping) else None
    if not isinstance(name, str) or name not in known:
        public = sorted(name for name, classes in known.items() if any(map(is_public, classes.values())))
        raise ValueError(
            f"no penalty is described by {config!r}: expected what `penalty.to_config()` gives, a dict whose "
            f'"name" is that of a penalty, such as one of {public}; import what you wrote yourself first'
        )
    classes = known[name]
    if len(classes) > 1:
        raise ValueError(
            f"{name!r} is the name of several penalties, {sorted(classes)}: give all but one of these "
            'another in configs, by `name_in_config = "..."` in the class'
        )
    return next(iter(classes.values()))


def _is_chosen(cls: type[Penalty]) -> bool:
    """Whether another class, whose name in configs it was given, makes it of what has a rule for zeros."""
    names = [getattr(base, "name_in_config", None) for base in cls.__mro__[1:]]
    return cls.name_in_config != cls.__name__ and cls.name_in_config in names


def _read(value: Any) -> Any:
    if isinstance(value, Mapping):
        # A tree of strengths may have leaves of these names, too; they are numbers.
        if isinstance(value.get("name"), str):
            return from_config(value)
        if isinstance(value.get("partition"), str):
            return partition_from_config(value)
        if set(value) == {"array"} and isinstance(value["array"], (list, tuple)):
            return jnp.asarray(value["array"])
        return {key: _read(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_read(x) for x in value)
    return value


def _concrete(cls: type[Penalty]) -> Iterator[type[Penalty]]:
    for subclass in cls.__subclasses__():
        yield from _concrete(subclass)
        if not inspect.isabstract(subclass):
            yield subclass
