"""Constraint: any constraint as a Keras constraint."""

from typing import Any

import jax.numpy as jnp
import keras

import penalties
from penalties import Penalty
from penalties._penalty.constraint import is_constraint
from penalties.keras._backend import require_jax


@keras.saving.register_keras_serializable("penalties")
class Constraint(keras.constraints.Constraint):
    """Any constraint as a Keras constraint: `Dense(64, kernel_constraint=Constraint(NonNegative()))`.

    Args:
        constraint: a `penalties.Constraint` without a selection, or a sum of them that has a projection: in
            Keras the argument it is passed as (`kernel_constraint=`, ...) says which weight it is for.

    The `axis` of `penalties.MaxNorm` and its relatives counts units, that of Keras names what is summed:
    `keras.constraints.MaxNorm(2, axis=0)` of a Dense kernel is `Constraint(penalties.MaxNorm(2))`, and of a
    convolution's, `axis=[0, 1, 2]`, it is the same. Keras divides by ε + norm, so that weights within the
    constraint shrink by a little at each step, and a zero unit stays zero under `UnitNorm`; here they stay as
    they are, and it does not.

    Raises:
        TypeError: `constraint` is no constraint, or is one of several weights together, as `GloballySparse`.
        ValueError: it has a selection (`.on(...)`).
        RuntimeError: when called, if Keras does not run on JAX.

    >>> import keras, penalties
    >>> constraint = penalties.keras.Constraint(penalties.NonNegative())
    >>> constraint(keras.ops.array([1.5, -0.5])).tolist()
    [1.5, 0.0]
    """

    def __init__(self, constraint: Penalty):
        if not isinstance(constraint, Penalty) or not is_constraint(constraint):
            raise TypeError(
                f"Constraint got {constraint!r} of type {type(constraint).__name__}: expected a constraint, "
                "such as penalties.NonNegative(); of a penalty there is penalties.keras.Regularizer"
            )
        for atom, _ in constraint.atoms():
            if atom.spans_leaves:
                raise TypeError(
                    f"{atom!r} is of several weights together, but a Keras constraint sees one: pass "
                    "penalties.Sparse(count), with a count for each, or compile the model with "
                    "penalties.keras.ToSparsity(optimizer, penalty, target, steps), a share of them all"
                )
        if any(selections for _, selections in constraint.atoms()):
            raise ValueError(
                f"{constraint!r} has a selection, but a Keras constraint sees one weight and no path: pass "
                "the constraint without `.on(...)` to the layer's kernel_constraint="
            )
        self._projection = constraint

    @property
    def constraint(self) -> Penalty:
        """The constraint."""
        return self._projection

    def __call__(self, w: Any) -> Any:
        """The projection of w, of its dtype."""
        require_jax("penalties.keras.Constraint")
        w = keras.ops.convert_to_tensor(w)
        if not jnp.issubdtype(w.dtype, jnp.inexact):
            raise TypeError(f"{self!r} got an array of dtype {w.dtype}: expected floating or complex numbers")
        return self._projection.prox(w)

    def get_config(self) -> dict[str, Any]:
        """A dict of plain Python numbers, strings and lists."""
        return {"constraint": self._projection.to_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Constraint":
        """The constraint that `get_config` described."""
        return cls(penalties.from_config(config["constraint"]))

    def __repr__(self) -> str:
        return f"Constraint({self._projection!r})"
