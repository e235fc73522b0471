"""Where the config of a model keeps the regularizers of its weights.

Most layers of Keras have a place for each: `kernel_regularizer` and the like. A layer that has none
is given one. Whether it worked is seen by making the model anew from its config.
"""

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras

from penalties.keras._regularized import give_place, own_class
from penalties.keras.regularizers import Regularizer

Chosen = dict[int, tuple[Any, Regularizer]]
"""By the id of a variable: the variable and its new regularizer."""


def write(model: Any, chosen: Chosen) -> list[Any]:
    """Puts the regularizers into the configs of the layers; returns the weights for which it cannot."""
    _write_into_layers(model, chosen)
    try:
        lost = _lost_in_copy(model, chosen)
        if lost:
            for layer in _described_layers(model):
                if any(weight is variable for weight in layer.weights for variable in lost):
                    give_place(layer)
            lost = _lost_in_copy(model, chosen)
    except _NoCopy:
        return [variable for variable, _ in chosen.values()]
    return lost


def _write_into_layers(model: Any, chosen: Chosen) -> None:
    """Gives the regularizers to the layers that have a place for them."""
    for layer in model._flatten_layers():
        if isinstance(layer, (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)):
            _write_into_attention(layer, chosen)
        else:
            places = vars(layer)
            for variable in layer._trainable_variables:
                if id(variable) in chosen:
                    for name in _places(variable.name):
                        if name in places:
                            setattr(layer, name, chosen[id(variable)][1])


def _places(name: str) -> Iterator[str]:
    """Attributes under which layers keep the regularizer of their weight of this name."""
    yield f"{name}_regularizer"
    if name.endswith("_kernel"):  # depthwise_kernel of a separable convolution
        yield f"{name.removesuffix('_kernel')}_regularizer"
    if name == "kernel":  # the only kernel of a depthwise convolution
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


class _NoCopy(Exception):
    """A model cannot be made from its config."""


def _lost_in_copy(model: Any, chosen: Chosen) -> list[Any]:
    """The chosen weights that a model made from this one's config has without the penalty."""
    state = random.getstate()  # initializers draw their seeds from it
    try:
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
        with keras.saving.CustomObjectScope(classes):
            copy = type(model).from_config(model.get_config())
            if not copy.built:
                copy.build_from_config(model.get_build_config())
        found[:] = [variable.regularizer for variable in copy.weights]
        if len(found) != len(model.weights):
            raise _NoCopy
        return jnp.zeros(())

    found: list[Any] = []
    # Loading may be told of classes that are not registered; so is this.
    classes = {
        keras.saving.get_registered_name(cls): cls
        for cls in (own_class(type(layer)) for layer in model._flatten_layers())
        if not cls.__module__.startswith("keras.")
    }
    # Traced and not run, where layers allow it: it takes no memory for a second model. What cannot be
    # built from its config for any reason cannot be loaded from a file either.
    with contextlib.suppress(Exception):
        jax.eval_shape(rebuild)
        return found
    with contextlib.suppress(Exception):
        rebuild()
        return found
    raise _NoCopy


def same(one: Any, other: Any) -> bool:
    """Whether two regularizers, or None, are the same in a file."""
    return one is not None and shown(one) == shown(other)


def shown(regularizer: Any) -> str:
    """What a file says of a regularizer."""
    return json.dumps(keras.regularizers.serialize(regularizer), sort_keys=True, default=str)
