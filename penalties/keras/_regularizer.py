"""Regularizer: any penalty as a Keras regularizer."""

from typing import Any

import jax.numpy as jnp
import keras

import penalties
from penalties._penalty.base import Penalty, check_penalty
from penalties.keras._backend import on_jax, require_jax
from penalties.keras._internals import value_in_step


@keras.saving.register_keras_serializable("penalties")
class Regularizer(keras.Regularizer):
    """Any penalty as a Keras regularizer: R(x) of the weight (or output) it is given.

    Args:
        penalty: a Penalty without a selection: in Keras the argument it is passed as
            (`kernel_regularizer=`, ...) says which weight it is for. To choose weights of a model
            by their paths, use `penalties.keras.attach`.

    From Keras 3.15 on, a bare penalty, `kernel_regularizer=penalties.L1(0.01)`, trains as this does, and
    is saved and loaded as this once `penalties.keras` is imported. Older ones want this.

    Calling it returns a scalar, float32 (float64 for float64 weights) whatever the dtype of x.

    Raises:
        TypeError: `penalty` is not a Penalty, or has a constraint in it.
        ValueError: it has a selection (`.on(...)`).
        RuntimeError: when called, if Keras does not run on JAX.

    >>> import keras, penalties
    >>> regularizer = penalties.keras.Regularizer(penalties.GroupLasso(0.5))
    >>> layer = keras.layers.Dense(2, kernel_initializer="ones", kernel_regularizer=regularizer)
    >>> layer.build((None, 4))
    >>> float(layer.losses[0])  # 0.5 · 2 groups · √4 · ‖(1, 1, 1, 1)‖
    4.0
    """

    def __init__(self, penalty: Penalty):
        or_else = "; for strengths there are L1, L2 and L1L2 in penalties.keras"
        check_penalty(penalty, "Regularizer's penalty", or_else)
        for atom, _ in penalty.atoms():
            if atom.flat:
                what, way_out = (
                    ("constraint", "kernel_constraint=penalties.keras.Constraint(...)")
                    if isinstance(atom, penalties.Constraint)
                    else (
                        "penalty",
                        "a LogSum, or kernel_constraint=penalties.keras.Constraint(Sparse(count))",
                    )
                )
                raise TypeError(
                    f"Regularizer got the {what} {atom!r}, whose gradient is 0 wherever there is one: pass "
                    f"{way_out} to the layer"
                )
        if any(selections for _, selections in penalty.atoms()):
            raise ValueError(
                f"{penalty!r} has a selection, but a Keras regularizer sees one weight and no path: pass "
                "the penalty without `.on(...)` to the layer's kernel_regularizer=, or use "
                "`penalties.keras.attach(penalty, model)`"
            )
        self._penalty = penalty
        # Set by StrengthSchedule: a variable in the state of a model, so that a new value is no new
        # compile. It counts in the steps of this model only, and not for others that have this regularizer.
        self._factor: keras.Variable | None = None

    @property
    def penalty(self) -> Penalty:
        """The penalty, with the strengths it was made with."""
        return self._penalty

    def __call__(self, x: Any) -> Any:
        """R(x), a scalar, float32 (float64 if x is)."""
        if not on_jax():
            return self._elsewhere(x)
        if isinstance(x, keras.KerasTensor):
            raise TypeError(
                f"{self!r} got a symbolic KerasTensor, which has no numbers: pass the regularizer to a "
                "layer, as kernel_regularizer= or activity_regularizer="
            )
        # Outside a stateless scope Keras passes its own Variable, which jax.numpy does not take.
        x = keras.ops.convert_to_tensor(x, sparse=False)
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            raise TypeError(f"{self!r} got an array of dtype {x.dtype}: expected floating or complex numbers")
        factor = None if self._factor is None else value_in_step(self._factor)
        return (self._penalty if factor is None else self._penalty * factor)(x)

    def _elsewhere(self, x: Any) -> Any:
        """R(x) on other backends than JAX."""
        del x
        require_jax(f"penalties.keras.{type(self).__name__}")

    def get_config(self) -> dict[str, Any]:
        """A dict of plain Python numbers, strings and lists."""
        return {"penalty": self._penalty.to_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Regularizer":
        """The regularizer that `get_config` described."""
        return cls(penalties.from_config(config["penalty"]))

    def __getstate__(self) -> dict[str, Any]:
        # A copy belongs to no model: it does not follow the schedule of the original's.
        return self.__dict__ | {"_factor": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._penalty!r})"
