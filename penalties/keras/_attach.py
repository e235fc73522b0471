"""attach: a penalty for chosen weights of a model that is already built."""

import warnings
from typing import Any

import keras

import penalties
from penalties._penalty.base import Penalty, check_penalty
from penalties.keras import _places, _weights
from penalties.keras._places import Chosen, in_file, same
from penalties.keras._regularizer import Regularizer


def attach(penalty: Penalty, model: Any) -> None:
    """Adds a penalty, as regularizers, to the chosen weights of a built or pretrained Keras model.

    It survives compile, fit, save and load, clone, copy and `to_json`: where a layer has a place for
    the regularizer in its config, it is put there; where it has none (a layer of your own that takes
    no regularizer, a subclassed model, one kernel of a MultiHeadAttention), the layer gets one: its
    class becomes a subclass of the same name, whose config holds the regularizers. Loading needs
    `import penalties.keras`, as any of its regularizers does. Where that cannot be done (a model that
    cannot be made from its config, a class that cannot be extended), a warning names the weights that
    have the penalty for certain in this process only.

    Args:
        penalty: a Penalty, selected by Keras paths: `L1(1e-4).on("**/kernel")`. List yours by
            `[v.path for v in model.trainable_variables]`; frozen weights are not among them. What all
            begin with, such as the name of a Sequential model, may be left out. Without a selection,
            every trainable weight.
        model: a built Keras model. Of a part of a model, or a layer: compile the whole anew.

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
    check_penalty(penalty, "the penalty in attach(penalty, model)")
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
    if isinstance(model, keras.Model):
        # Compiled without the penalty.
        model.train_function = model.test_function = None
    lost, error = _places.write(model, chosen)
    if lost:
        paths = [variable.path for variable in lost]
        what = (
            "but will come back from a saved file without it, for their layers take no regularizer and have "
            "classes that cannot be extended"
            if error is None
            else "but whether they will in a model from a saved file could not be seen, for the model could "
            f"not be made anew from its config: {error!r}"
        )
        warnings.warn(
            f"the weights {paths} have their penalty now, {what}. Give the model a `get_config`, call "
            "`attach` again after loading, or use `penalties.keras.Penalized`",
            stacklevel=2,
        )


def _chosen(penalty: Penalty, model: Any) -> Chosen:
    variables = model.trainable_variables
    chosen = {}
    for variable, bound in zip(
        variables, _weights.bind_constant(penalty, _weights.leaves(variables)), strict=True
    ):
        if bound is None:
            continue
        # By way of the config, in which strengths are plain numbers again.
        regularizer = Regularizer(penalties.from_config(bound.to_config()))
        if variable.regularizer is not None and not same(variable.regularizer, regularizer):
            raise ValueError(
                f"the weight {variable.path!r} has the regularizer {in_file(variable.regularizer)} already: "
                "leave it out with `.on(..., exclude=...)`, or set `variable.regularizer = None` first "
                "and attach the sum of both penalties"
            )
        chosen[id(variable)] = (variable, regularizer)
    return chosen
