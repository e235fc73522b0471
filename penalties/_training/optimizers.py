"""What is taken for an optimizer: a transform of optax, or its `MultiSteps`, which is of another type."""

from typing import Any

import optax

Optimizer = optax.GradientTransformation | optax.MultiSteps


def as_transform(optimizer: Any, usage: str) -> optax.GradientTransformationExtraArgs:
    """The optimizer as a transform that takes extra arguments.

    Raises:
        TypeError: it is none; the error shows the usage of what it was given to.
    """
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(
            f"the optimizer is {optimizer!r} of type {type(optimizer).__name__}: expected an optax "
            f"optimizer such as optax.adam(1e-3), as in {usage}"
        )
    return optax.with_extra_args_support(optimizer)
