"""A place for regularizers in the config of a layer that has none.

A layer of a user's own, or a subclassed model, is made anew from what its `get_config` holds, which
says nothing of regularizers. `give_place` makes its class one whose config has one entry more:

    "penalties": {"class": ..., "weights": 3, "regularizers": {"0": ...}}

with the class that Keras is to make, and the regularizers by the position of their weight in
`layer.weights`. Names would not do: those of layers that a config does not hold are made up anew.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras


@keras.saving.register_keras_serializable("penalties")
class Regularized:
    """What a layer's class becomes: the layer, and the regularizers of its weights in its config."""

    own: type
    """The class as it was."""
    described: dict[str, Any]
    """Its module, name and registered name, as Keras writes them."""

    def get_config(self) -> dict[str, Any]:
        """The layer's own config, and the regularizers of its weights."""
        layer: Any = self
        regularizers = {
            str(position): keras.regularizers.serialize(weight.regularizer)
            for position, weight in enumerate(layer.weights)
            if weight.regularizer is not None
        }
        place = {"class": self.described, "weights": len(layer.weights), "regularizers": regularizers}
        return super().get_config() | {"penalties": place}  # type: ignore[misc]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer, whose weights get their regularizers as soon as all of them are there."""
        place = config["penalties"]
        own = {key: value for key, value in config.items() if key != "penalties"}
        if cls is Regularized:  # in a file
            layer = keras.saving.deserialize_keras_object(place["class"] | {"config": own})
        else:  # in a clone, where Keras needs no class by its name either
            layer = cls.own.from_config(own)  # type: ignore[attr-defined]
        regularizers = {int(p): keras.regularizers.get(r) for p, r in place["regularizers"].items()}
        give_place(layer)
        act = functools.partial(_regularize, layer, place["weights"], regularizers)
        vars(layer)["_regularize_when_built"] = act
        for name in ("build", "build_from_config"):
            vars(layer)[name] = _followed_by(getattr(layer, name), act)
        act()
        return layer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's output. Layers without a `build` have their weights after the first call."""
        output = super().__call__(*args, **kwargs)  # type: ignore[misc]
        if "_regularize_when_built" in vars(self):
            vars(self)["_regularize_when_built"]()
        return output

    def __reduce__(self) -> Any:
        # Keras names the class of the object, which is made here and cannot be found by its name.
        load, arguments = super().__reduce__()  # type: ignore[misc]
        return getattr(self.own, load.__name__), arguments  # type: ignore[attr-defined]


def give_place(layer: Any) -> None:
    """Makes the regularizers of the layer's weights a part of its config; no change if they are.

    Raises:
        TypeError: the class cannot be extended, or not changed for a subclass.
    """
    if "own" in vars(type(layer)):
        return
    described: Any = keras.saving.serialize_keras_object(layer)
    made = _with_place(type(layer))
    made.described = {key: described[key] for key in ("module", "class_name", "registered_name")}
    # Not by `layer.__class__ = ...`, in which Keras would look for weights to track.
    object.__setattr__(layer, "__class__", made)


def own_class(cls: Any) -> Any:
    """A layer's class as it was before it was given a place."""
    return vars(cls).get("own", cls)


@functools.cache
def _with_place(cls: type) -> Any:
    bases = (cls,) if issubclass(cls, Regularized) else (Regularized, cls)
    keras_cls: Any = cls

    @functools.wraps(keras_cls.get_config)  # it may have Keras's mark of a layer that wrote none of its own
    def get_config(self: Any) -> dict[str, Any]:
        return Regularized.get_config(self)

    members = {"__module__": cls.__module__, "__doc__": cls.__doc__, "own": cls, "get_config": get_config}
    metaclass: Any = type(cls)
    made = metaclass(cls.__name__, bases, members)
    # In a file it goes by the name of Regularized, whose `from_config` is to be found under that name:
    # it is registered last.
    register = keras.saving.register_keras_serializable("penalties", "Regularized")
    register(made)
    register(Regularized)
    return made


def _regularize(layer: Any, weights: int, regularizers: dict[int, Any]) -> None:
    if len(layer.weights) == weights:  # before, positions are not yet the final ones
        vars(layer).pop("_regularize_when_built", None)
        for position, regularizer in regularizers.items():
            layer.weights[position].regularizer = regularizer


def _followed_by(method: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def both(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        act()
        return result

    return both
