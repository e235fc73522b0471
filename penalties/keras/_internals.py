"""All that is taken from Keras's private names, with the reason for each.

Nothing else in this folder reads a name that Keras keeps to itself: when a new Keras breaks
something, it is here. Tried with Keras 3.12 to 3.15.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.saving.serialization_lib import SafeModeScope

# Models and layers.


def all_layers(model: Any) -> list[Any]:
    """The model and every layer in it, those inside of layers included.

    The public `model.layers` ends at layers that hold layers, and a layer has none.
    """
    return list(model._flatten_layers())


def own_trainable_weights(layer: Any) -> list[Any]:
    """The trainable weights that a layer made itself.

    The public `trainable_weights` has those of the layers inside as well.
    """
    return list(layer._trainable_variables)


def random_states(model: Any) -> list[Any]:
    """The list in which a model keeps its random generators, to be added to.

    Their states are the only ones that Keras passes through the compiled step, and neither saves
    nor counts as weights of a layer.
    """
    return model._seed_generators


@contextlib.contextmanager
def additional_losses_held_back(model: Any) -> Iterator[list[Any]]:
    """Within it, `compute_loss` adds nothing to the loss of the data; what it would add is in the list.

    Keras adds regularizers and `add_loss` inside of `compute_loss`, through this one hook: no public
    one tells the two apart.
    """
    held_back: list[Any] = []
    aggregate = model._aggregate_additional_loss

    def hold_back(loss: Any) -> Any:
        held_back.append(aggregate(loss))
        return keras.ops.zeros_like(held_back[-1])

    # Past Keras's and NNX's ways of setting attributes, which are not for the middle of a step.
    vars(model)["_aggregate_additional_loss"] = hold_back
    try:
        yield held_back
    finally:
        del vars(model)["_aggregate_additional_loss"]


# Variables.


def value_in_step(variable: Any) -> Any:
    """What the variable is in the step that is being traced or run; None elsewhere.

    Elsewhere means: in another model's step, and outside of any. What is compiled there would have
    the value of now for good. The public `variable.value` gives it without saying so.
    """
    scope = get_stateless_scope()
    return None if scope is None else scope.get_current_value(variable)


def layout_of(variable: Any) -> Any:
    """How the variable is spread over devices, for a variable that is to be spread in the same way.

    `add_variable_from_reference`, the public way, gives the dtype of the weight, too: an average in
    the half precision of its weight would be no average.
    """
    return variable._layout


# Files.


def trusting() -> contextlib.AbstractContextManager[Any]:
    """A context in which lambdas in a config are made again.

    The public `enable_unsafe_deserialization` is a switch for the whole process.
    """
    return SafeModeScope(safe_mode=False)


# Optimizers, of which Keras's own callbacks and wrappers read more than is public.


def has_value(variable: Any) -> bool:
    """Whether a variable has one: `fit` takes all of them, and gives them back after the first step."""
    return variable._value is not None


def steps_of(optimizer: Any) -> Any:
    """The variable that counts the calls of `apply`.

    The public `iterations` of an optimizer that accumulates gradients counts its updates, and is no
    variable.
    """
    return optimizer._iterations


def own_variables(optimizer: Any) -> list[Any]:
    """The variables of an optimizer without those of the optimizers in it.

    `variables` is what a wrapper overrides to add them.
    """
    return list(optimizer._variables)


def trained_by(optimizer: Any) -> list[Any]:
    """The weights an optimizer was built with; no public name keeps them."""
    return list(optimizer._trainable_variables)


def remember(optimizer: Any, weights: Sequence[Any]) -> None:
    """Has the optimizer know its weights, which is what the `build` of a wrapper is to do.

    That of Keras's base class also makes moving averages and accumulated gradients, which the
    optimizer inside has already.
    """
    for position, weight in enumerate(weights):
        optimizer._trainable_variables_indices[optimizer._var_key(weight)] = position
    # Past Keras's tracking, which would take the weights for variables of the optimizer.
    vars(optimizer)["_trainable_variables"] = list(weights)
    optimizer.built = True


def was_built_with(optimizer: Any, weight: Any) -> bool:
    """Whether a weight is among those the optimizer was built with, as Keras tells them apart."""
    return optimizer._var_key(weight) in optimizer._trainable_variables_indices


def position_of(optimizer: Any, weight: Any) -> int:
    """Where a weight stands among those the optimizer was built with, as Keras finds it."""
    return optimizer._get_variable_index(weight)


def moving_averages_of(optimizer: Any) -> Sequence[Any]:
    """The moving average (EMA) of each weight it was built with; None for those that have none.

    They replace the weights at the end of `fit`, and have no public name.
    """
    return optimizer._model_variables_moving_average


class Inside:
    """An attribute of a wrapper that is its inner optimizer's: read there, and set there."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        return self if wrapper is None else getattr(wrapper.inner_optimizer, self._name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        # Keras's own constructor sets the public ones to its defaults, before there is an optimizer inside.
        if "inner_optimizer" in vars(wrapper):
            setattr(wrapper.inner_optimizer, self._name, value)


class AveragesInside(keras.optimizers.Optimizer):
    """A wrapper in which the moving averages and accumulated gradients of the optimizer inside are found.

    The callback SwapEMAWeights looks for them there, if the wrapper is itself in another.
    """

    _model_variables_moving_average = Inside()
    _accumulated_gradients = Inside()


def show_averages(wrapper: Any) -> None:
    """Lets SwapEMAWeights find the averages in a LossScaleOptimizer that is in a wrapper of ours.

    It looks through one wrapper, as there is but one in Keras.
    """
    for name in ("_model_variables_moving_average", "optimizers"):
        if hasattr(wrapper.inner_optimizer, name):
            vars(wrapper)[name] = getattr(wrapper.inner_optimizer, name)
