"""Penalizing: what the wrappers share that train with a penalty."""

from collections.abc import Sequence
from typing import Any, Self

import jax.numpy as jnp
import keras

import penalties
from penalties._numerics import accumulator
from penalties._penalty.base import Penalty
from penalties.keras import _internals
from penalties.keras._bound import same_but_for_the_beginning
from penalties.keras._wrapper import Wrapper, all_within, averaging_within, optimizer_in


class Penalizing(Wrapper):
    """A wrapper that trains with a penalty, and for it keeps averages of gradients."""

    _penalty: Penalty

    def __init__(self, inner: Any, *, loss_scale_factor: float | None, name: str | None):
        super().__init__(inner, loss_scale_factor=loss_scale_factor, name=name)
        # The paths of the saved model, if this is read from its config, and was built then.
        self._saved_paths: list[str] | None = None
        # By position, of the variables that can become zero.
        self._average_of: dict[int, Any] = {}

    def choose_paths(self, variables: Sequence[Any]) -> list[str]:
        """The paths by which these variables are selected: their own, or those they had when saved."""
        self._paths = [variable.path for variable in variables]
        if self._saved_paths is not None and same_but_for_the_beginning(self._saved_paths, self._paths):
            self._paths = self._saved_paths
        return self._paths

    def may_never_train(self, variables: Sequence[Any]) -> bool:
        """Whether what is wrong is to be raised in the first step only: a frozen model is loaded and used."""
        return self._saved_paths is not None or not variables

    def variables_of(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None) -> list[Any]:
        """The variables that these gradients belong to.

        Raises:
            ValueError: there are none, or others than it was built with, or not as many.
        """
        variables = self.known(trainable_variables)
        if grads and len(grads) != len(variables):
            raise ValueError(
                f"got {len(grads)} gradients for {len(variables)} variables: give one for each, or None"
            )
        return variables

    def zero_average(self, variable: Any, dtype: str | None = None) -> Any:
        """A new variable for the average gradient of this one, by default in its accumulator's dtype."""
        own = jnp.dtype(keras.backend.standardize_dtype(variable.dtype))
        return self.add_variable(
            variable.shape,
            "zeros",
            dtype or str(accumulator(own)),
            layout=_internals.layout_of(variable),
            name=f"{variable.path.replace('/', '_')}_average_gradient",
        )

    def assign_constrained(self, variable: Any, value: Any) -> None:
        """Gives a variable this value, or the nearest that its constraint allows."""
        self.assign(variable, value)
        if variable.constraint is not None:
            self.assign(variable, variable.constraint(variable))

    def keep_zeros_in_moving_averages(self) -> None:
        """The average of a weight counts from when it last left zero."""
        for optimizer in averaging_within(self):
            averages = _internals.moving_averages_of(optimizer)
            for variable, average in zip(_internals.trained_by(optimizer), averages, strict=True):
                if self.position(variable) in self._average_of:
                    zero = variable.value == 0
                    self.assign(average, jnp.where(zero, jnp.zeros_like(average.value), average.value))

    def get_config(self) -> dict[str, Any]:
        """A dict that `from_config` reads.

        Raises:
            TypeError: the penalty selects by a function, which no dict can hold.
        """
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "penalty": self._penalty.to_config(),
            "loss_scale_factor": self.loss_scale_factor,
            "paths": self._paths if self.built else self._saved_paths,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The optimizer that `get_config` described."""
        arguments: dict[str, Any] = dict(config)
        # Not `keras.optimizers.deserialize`, which knows some of Keras's optimizers only.
        inner = keras.saving.deserialize_keras_object(arguments.pop("optimizer"), custom_objects)
        penalty = penalties.from_config(arguments.pop("penalty"))
        paths = arguments.pop("paths", None)
        made = cls(inner, penalty, **arguments)  # type: ignore[arg-type]
        made._saved_paths = paths
        return made


def penalizing_in(optimizer: Any) -> list[Any]:
    """Every wrapper with a penalty that `optimizer` is or has within."""
    return [each for each in all_within(optimizer) if isinstance(each, Penalizing)]


def without_penalty(optimizer: Any, wrapper: str) -> keras.optimizers.Optimizer:
    """The Keras optimizer of this name, or itself.

    Raises:
        TypeError: it is none, or has a penalty already.
    """
    inner = optimizer_in(optimizer, wrapper)
    for within in penalizing_in(inner):
        raise TypeError(
            f"{wrapper} got an optimizer that is {type(within).__name__} already: give one of them the sum "
            f"of the penalties, {wrapper}(optimizer, p + q)"
        )
    return inner
