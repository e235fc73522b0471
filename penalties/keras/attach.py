"""attach: a penalty for chosen weights of a model that is already built."""

import contextlib
import json
import random
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras

import penalties
from penalties._penalty import Penalty
from penalties.keras import _weights
from penalties.keras.regularizers import Regularizer


def attach(penalty: Penalty, model: Any) -> None:
    """Adds a penalty, as regularizers, to the chosen weights of a built or pretrained Keras model.

    It survives compile, fit, save and load, clone and `to_json`: where a layer has a place for a
    regularizer in its config, it is put there as well. Where it has none (a layer of your own that
    takes no regularizer, some of the kernels of one MultiHeadAttention), a warning names the weights
    that will come back from a file without the penalty.

    Args:
        penalty: a Penalty, selected by Keras paths: `L1(1e-4).on("**/kernel")`. List yours by
            `[v.path for v in model.trainable_variables]`; frozen weights are not among them. Without
            a selection, every trainable weight.
        model: a built Keras model (or layer).

    Raises:
        TypeError: `penalty` is not a Penalty; the model is not a Keras model.
        ValueError: the model is not built; nothing matched; a chosen weight has another regularizer.

    >>> import keras, penalties
    >>> from penalties.keras import attach
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones")])
    >>> attach(penalties.L1(0.5).on("**/kernel"), model)
    >>> float(sum(model.losses))
    3.0
    >>> copy = keras.models.clone_model(model)
    >>> copy.layers[0].kernel_regularizer
    Regularizer(L1(0.5))
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"attach got the penalty {penalty!r} of type {type(penalty).__name__}: expected a Penalty such "
            'as penalties.L1(1e-4).on("**/kernel")'
        )
    if not isinstance(model, keras.Layer):
        raise TypeError(
            f"attach got the model {model!r} of type {type(model).__name__}: expected a Keras model; the "
            "order is attach(penalty, model)"
        )
    if not model.built:
        raise ValueError(
            f"the model {model.name!r} is not built, so it has no weights to choose from: give it an "
            "keras.Input, call `model.build(input_shape)`, or call it on a batch first"
        )
    chosen = _chosen(penalty, model)
    for variable, regularizer in chosen.values():
        variable.regularizer = regularizer
    _write_into_configs(model, chosen)
    if isinstance(model, keras.Model):
        # Compiled without the penalty.
        model.train_function = model.test_function = None
    lost = _lost_in_config(model, chosen)
    if lost:
        warnings.warn(
            f"the weights {lost} have their penalty now, but will come back from a saved file without "
            "it, for their layers have no regularizer argument for them: call `attach` again after "
            "loading, or use `penalties.keras.Penalized`",
            stacklevel=2,
        )


Chosen = dict[int, tuple[Any, Regularizer]]
"""By the id of a variable: the variable and its new regularizer."""


def _chosen(penalty: Penalty, model: Any) -> Chosen:
    variables = model.trainable_variables
    chosen = {}
    for variable, bound in zip(variables, _weights.bind(penalty, variables), strict=True):
        if bound is None:
            continue
        # By way of the config, in which strengths are plain numbers again.
        regularizer = Regularizer(penalties.from_config(bound.to_config()))
        if variable.regularizer is not None and not _same(variable.regularizer, regularizer):
            raise ValueError(
                f"the weight {variable.path!r} has the regularizer {_text(variable.regularizer)} already: "
                "leave it out with `.on(..., exclude=...)`, or set `variable.regularizer = None` first "
                "and attach the sum of both penalties"
            )
        chosen[id(variable)] = (variable, regularizer)
    return chosen


def _write_into_configs(model: Any, chosen: Chosen) -> None:
    """Gives the regularizers to the layers, for `get_config` to write them."""
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
        same = all(_same(r, regularizers[0]) for r in regularizers)
        if members and len(regularizers) == len(members) and same:
            for attribute in (f"{name}_regularizer", f"_{name}_regularizer"):
                if attribute in vars(layer):
                    setattr(layer, attribute, regularizers[0])


def _lost_in_config(model: Any, chosen: Chosen) -> list[str]:
    """Paths of the chosen weights that a model made from this one's config has without the penalty."""
    variables = model.trainable_variables
    state = random.getstate()  # initializers draw their seeds from it
    try:
        copies = _regularizers_of_copy(model)
    finally:
        random.setstate(state)
    if len(copies) != len(variables):
        return [variable.path for variable, _ in chosen.values()]
    return [
        variable.path
        for variable, copy in zip(variables, copies, strict=True)
        if id(variable) in chosen and not _same(copy, chosen[id(variable)][1])
    ]


def _regularizers_of_copy(model: Any) -> list[Any]:
    """The regularizers of the trainable weights of the model that the config describes."""

    def rebuild():
        copy = type(model).from_config(model.get_config())
        if not copy.built:
            copy.build_from_config(model.get_build_config())
        found[:] = [variable.regularizer for variable in copy.trainable_variables]
        return jnp.zeros(())

    found: list[Any] = []
    # Traced and not run, where layers allow it: it takes no memory for a second model. What cannot be
    # built from its config for any reason cannot be loaded from a file either.
    with contextlib.suppress(Exception):
        jax.eval_shape(rebuild)
        return found
    with contextlib.suppress(Exception):
        rebuild()
        return found
    return []


def _same(one: Any, other: Any) -> bool:
    return one is not None and _text(one) == _text(other)


def _text(regularizer: Any) -> str:
    return json.dumps(keras.regularizers.serialize(regularizer), sort_keys=True, default=str)
