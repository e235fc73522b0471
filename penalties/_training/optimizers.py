"""What is taken for an optimizer: a transform of optax, or its `MultiSteps`, which is of another type."""

from typing import Any

import optax

from penalties._penalty.base import Penalty

Optimizer = optax.GradientTransformation | optax.MultiSteps


def as_transform(optimizer: Any, usage: str) -> optax.GradientTransformationExtraArgs:
    """The optimizer as a transform that takes extra arguments.

    Raises:
        TypeError: it is none; the error shows the usage of what it was given to.
    """
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise _no_optimizer(optimizer, usage)
    return optax.with_extra_args_support(optimizer)


def refuse_swapped(optimizer: Any, usage: str) -> None:
    """Raises TypeError if the optimizer is a penalty, before what is in its place is looked at."""
    if isinstance(optimizer, Penalty):
        raise _no_optimizer(optimizer, usage)


def _no_optimizer(given: Any, usage: str) -> TypeError:
    return TypeError(
        f"the optimizer is {given!r} of type {type(given).__name__}: expected an optax optimizer such as "
        f"optax.adam(1e-3), as in {usage}"
    )
