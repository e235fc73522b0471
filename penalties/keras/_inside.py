"""A Keras optimizer as optax writes one: a function of its state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import optax
from jax import Array

from penalties._numerics import widen
from penalties._tree.keras_variables import KerasWeights
from penalties.keras._step import times


class Inside(NamedTuple):
    """The state of `as_optax`.

    Attributes:
        variables: the values of the optimizer's variables.
        weights: the values to which it has moved its weights, all of them.
    """

    variables: Sequence[Any]
    weights: Sequence[Any]


def as_optax(optimizer: Any, others: Sequence[Any], scale: Array) -> optax.GradientTransformationExtraArgs:
    """The transform that makes the steps of a Keras optimizer, of trees of all its weights.

    Args:
        optimizer: that of Keras, built.
        others: for each of its weights what it is given where the transform gets no gradient.
        scale: what it divides gradients by.
    """

    def init(params: Any) -> Any:
        return Inside([variable.value for variable in optimizer.variables], params.values)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        fed = [
            other if x is None else times(x, scale).astype(x.dtype)
            for x, other in zip(updates.values, others, strict=True)
        ]
        weights, variables = optimizer.stateless_apply(state.variables, fed, list(params.values))
        # Wide: in half precision the weight would be moved to another place.
        steps = [
            None if x is None else widen(new) - widen(old)
            for x, new, old in zip(updates.values, weights, params.values, strict=True)
        ]
        return KerasWeights(updates.keys, steps), Inside(variables, weights)

    return optax.GradientTransformationExtraArgs(init, update)
