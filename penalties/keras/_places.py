"""Where the config of a model keeps the regularizers of its weights.

Most layers of Keras have a place for each: `kernel_regularizer` and the like. A layer that has none
is given one. Whether it worked is seen by making the model anew from its config.
"""

import contextlib
import json
import random
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras

from penalties.keras._bare import regularizer_of
from penalties.keras._internals import all_layers, own_trainable_weights, trusting
from penalties.keras._regularized import give_place, own_class
from penalties.keras._regularizer import Regularizer

Chosen = dict[int, tuple[Any, Regularizer]]
"""By the id of a variable: the variable and its new regularizer."""


def write(model: Any, chosen: Chosen) -> tuple[list[Any], Exception | None]:
    """Puts the regularizers into the configs of the layers.

    Returns the weights for which it cannot, and what went wrong where that could not be seen.
    """
    written = _write_into_layers(model, chosen)
    try:
        lost = _lost_in_copy(model, chosen)
        if lost:
            _give_places(model, lost)
            lost = _lost_in_copy(model, chosen)
        return lost, None
    except _NoCopy as failed:
        variables = [variable for variable, _ in chosen.values()]
        with contextlib.suppress(Exception):  # the model may have no config at all
            _give_places(model, [variable for variable in variables if id(variable) not in written])
        return variables, failed.because


def _give_places(model: Any, lost: list[Any]) -> None:
    for layer in _described_layers(model):
        if any(weight is variable for weight in layer.weights for variable in lost):
            with contextlib.suppress(TypeError):  # some classes cannot be extended: the weight stays lost
                give_place(layer)


def _write_into_layers(model: Any, chosen: Chosen) -> set[int]:
    """Gives the regularizers to the layers that have a place for them; ids of the weights it did so for."""
    written = set()
    for layer in all_layers(model):
        if isinstance(layer, (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)):
            _write_into_attention(layer, chosen)
        else:
            for variable in own_trainable_weights(layer):
                places = [name for name in _names_of_place(variable.name) if name in vars(layer)]
                if id(variable) in chosen and places:
                    written.add(id(variable))
                    for name in places:
                        setattr(layer, name, chosen[id(variable)][1])
    return written


def _names_of_place(weight: str) -> Iterator[str]:
    """Attributes under which layers keep the regularizer of their weight of this name."""
    yield f"{weight}_regularizer"
    if weight.endswith("_kernel"):  # depthwise_kernel of a separable convolution
        yield f"{weight.removesuffix('_kernel')}_regularizer"
    if weight == "kernel":  # the only kernel of a depthwise convolution
        yield "depthwise_regularizer"


def _write_into_attention(layer: Any, chosen: Chosen) -> None:
    """Attention layers have one regularizer for all of their kernels, and one for all biases."""
    for name in ("kernel", "bias"):
        members = [v for v in layer.trainable_variables if v.name == name]
        regularizers = [chosen[id(v)][1] for v in members if id(v) in chosen]
        complete = len(regularizers) == len(members)
        if members and complete and all(same(r, regularizers[0]) for r in regularizers):
            for attribute in (f"{name}_regularizer", f"_{name}_regularizer"):
                if attribute in vars(layer):
                    setattr(layer, attribute, regularizers[0])


def _described_layers(model: Any) -> Iterator[Any]:
    """The smallest layers that the model's config describes one by one."""
    if isinstance(model, keras.Model) and "layers" in model.get_config():
        for layer in model.layers:
            yield from _described_layers(layer)
    else:
        yield model
        # A functional model with a config of its own: `clone_model` copies its layers one by one.
        for layer in getattr(model, "operations", ()):
            if isinstance(layer, keras.Layer):
                yield from _described_layers(layer)


class _NoCopy(Exception):
    """A model cannot be made from its config."""

    def __init__(self, because: Exception):
        super().__init__(str(because))
        self.because = because


def _lost_in_copy(model: Any, chosen: Chosen) -> list[Any]:
    """The chosen weights that a model made from this one's config has without the penalty."""
    state = random.getstate()  # initializers draw their seeds from it
    try:
        with warnings.catch_warnings(action="ignore"):  # what Keras has to say, it says of the model itself
            copies = _regularizers_of_copy(model)
    finally:
        random.setstate(state)
    return [
        variable
        for variable, copy in zip(model.weights, copies, strict=True)
        if id(variable) in chosen and not same(copy, chosen[id(variable)][1])
    ]


def _regularizers_of_copy(model: Any) -> list[Any]:
    """The regularizers of the weights of the model that the config describes."""

    def rebuild():
        # The model is here already: what it is made of does no harm that it has not done.
        with keras.saving.CustomObjectScope(classes), trusting():
            copy = type(model).from_config(model.get_config())
            if not copy.built:
                copy.build_from_config(model.get_build_config())
        found[:] = [variable.regularizer for variable in copy.weights]
        if len(found) != len(model.weights):
            raise ValueError(f"the model made anew has {len(found)} weights, and not {len(model.weights)}")
        return jnp.zeros(())

    found: list[Any] = []
    # Loading may be told of classes that are not registered; so is this.
    classes = {
        keras.saving.get_registered_name(cls): cls
        for cls in (own_class(type(layer)) for layer in all_layers(model))
        if not cls.__module__.startswith("keras.")
    }
    # Traced and not run, where layers allow it: it takes no memory for a second model. What cannot be
    # built from its config for any reason cannot be loaded from a file either.
    with contextlib.suppress(Exception):
        jax.eval_shape(rebuild)
        return found
    try:
        rebuild()
        return found
    except Exception as error:
        raise _NoCopy(error) from error


def same(one: Any, other: Any) -> bool:
    """Whether two regularizers, or None, are the same in a file."""
    return one is not None and in_file(one) == in_file(other)


def in_file(regularizer: Any) -> str:
    """What a file says of a regularizer."""
    serialized = keras.regularizers.serialize(regularizer_of(regularizer))
    return json.dumps(serialized, sort_keys=True, default=str)
