"""A Keras optimizer as optax writes one: a function of its state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import optax
from jax import Array

from penalties._numerics import widen
from penalties._tree.keras_variables import KerasWeights
from penalties.keras._step import times
from penalties.keras._wrapper import all_within


class Inside(NamedTuple):
    """The state of `as_optax`, in a `MultiStepsState`.

    Attributes:
        variables: the values of the optimizer's variables.
        weights: the values to which it has moved its weights, all of them.
    """

    variables: Sequence[Any]
    weights: Sequence[Any]


def as_optax(
    optimizer: Any, others: Sequence[Any], scale: Array, count: Array
) -> optax.GradientTransformationExtraArgs:
    """The transform that makes the steps of a Keras optimizer, of trees of all its weights.

    An optimizer of Keras may accumulate gradients, and the state says so as that of `optax.MultiSteps`.

    Args:
        optimizer: that of Keras, built.
        others: for each of its weights what it is given where the transform gets no gradient.
        scale: what it divides gradients by.
        count: how many steps it has been asked for.
    """

    def init(params: Any) -> Any:
        inside = Inside([variable.value for variable in optimizer.variables], params.values)
        every = max(each.gradient_accumulation_steps or 1 for each in all_within(optimizer))
        return optax.MultiStepsState(count % every, count // every, inside, ())

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        fed = [
            other if x is None else times(x, scale).astype(x.dtype)
            for x, other in zip(updates.values, others, strict=True)
        ]
        weights, variables = optimizer.stateless_apply(
            state.inner_opt_state.variables, fed, list(params.values)
        )
        # Wide: in half precision the weight would be moved to another place.
        steps = [
            None if x is None else widen(new) - widen(old)
            for x, new, old in zip(updates.values, weights, params.values, strict=True)
        ]
        return KerasWeights(updates.keys, steps), state._replace(inner_opt_state=Inside(variables, weights))

    return optax.GradientTransformationExtraArgs(init, update)
