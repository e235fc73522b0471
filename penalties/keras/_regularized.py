"""A place for regularizers in the config of a layer that has none.

A layer of a user's own, or a subclassed model, is made anew from what its `get_config` holds, which
says nothing of regularizers. `give_place` makes its class one that adds them: in a file it stands as

    {"registered_name": "penalties>Regularized", "config": {"layer": ..., "regularizers": {"0": ...}}}

with the layer as Keras writes it inside, and the regularizers by the position of their weight in
`layer.weights`. Names would not do: those of layers that a config does not hold are made up anew.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras


@keras.saving.register_keras_serializable("penalties")
class Regularized:
    """What a layer's class becomes: the layer, and the regularizers of its weights in its config."""

    def get_config(self) -> dict[str, Any]:
        """{"layer": as Keras serializes it, "regularizers": by the position of their weight}."""
        layer: Any = self
        given = type(layer)
        _set_class(layer, own_class(given))
        try:
            described: Any = keras.saving.serialize_keras_object(layer)
        finally:
            _set_class(layer, given)
        # Keras adds these for the whole, and builds and compiles the whole from them.
        for name in ("build_config", "compile_config"):
            described.pop(name, None)
        regularizers = {
            str(position): keras.regularizers.serialize(weight.regularizer)
            for position, weight in enumerate(layer.weights)
            if weight.regularizer is not None
        }
        return {"layer": described, "regularizers": regularizers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer, whose weights get their regularizers when they are made."""
        if cls is Regularized:  # in a file
            layer: Any = keras.saving.deserialize_keras_object(config["layer"])
        else:  # in a clone, where Keras needs no class by its name either
            layer = own_class(cls).from_config(config["layer"]["config"])
        regularizers = {int(p): keras.regularizers.get(r) for p, r in config["regularizers"].items()}

        def regularize() -> None:
            for position, weight in enumerate(layer.weights):
                if position in regularizers:
                    weight.regularizer = regularizers[position]

        give_place(layer)
        regularize()  # weights made in __init__
        for name in ("build", "build_from_config"):
            setattr(layer, name, _followed_by(getattr(layer, name), regularize))
        return layer

    def __reduce__(self) -> Any:
        # Keras names the class of the object, which is made here and cannot be found by its name.
        load, arguments = super().__reduce__()  # type: ignore[misc]
        return getattr(own_class(type(self)), load.__name__), arguments  # type: ignore[attr-defined]


def give_place(layer: Any) -> None:
    """Makes the regularizers of the layer's weights a part of its config; no change if they are."""
    if not isinstance(layer, Regularized):
        _set_class(layer, _with_place(type(layer)))


def _set_class(layer: Any, cls: type) -> None:
    # Not by `layer.__class__ = ...`, in which Keras would look for weights to track.
    object.__setattr__(layer, "__class__", cls)


def own_class(cls: Any) -> Any:
    """A layer's class as it was before it was given a place."""
    return cls.__bases__[1] if issubclass(cls, Regularized) else cls


@functools.cache
def _with_place(cls: type) -> type:
    made = type(cls)(cls.__name__, (Regularized, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})
    # Under the name of Regularized, which is the class that reads the config: it has the last word.
    register = keras.saving.register_keras_serializable("penalties", "Regularized")
    register(made)
    register(Regularized)
    return made


def _followed_by(method: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def both(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        act()
        return result

    return both
