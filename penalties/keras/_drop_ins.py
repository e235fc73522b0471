"""Drop-ins for the regularizers of `keras.regularizers`: `help(penalties.keras)` says what differs."""

from typing import Any, final

import jax.numpy as jnp
import keras
from jax import Array

import penalties
from penalties import Penalty, static
from penalties._numerics import modulus, norm, ratio
from penalties._penalty import config as _config
from penalties._penalty.base import plain
from penalties._penalty.strengths import Strength, checked, is_number
from penalties._penalty.text import shown
from penalties.keras._regularizer import Regularizer


class _DropIn(Regularizer):
    """A regularizer with the arguments of its namesake in `keras.regularizers`."""

    def _elsewhere(self, x: Any) -> Any:
        return getattr(keras.regularizers, type(self).__name__)(**self.get_config())(x)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Regularizer":
        """The regularizer that `get_config` described."""
        return cls(**{name: _config._read(value) for name, value in config.items()})

    def __repr__(self) -> str:
        arguments = {name: getattr(self, name) for name in self.get_config()}
        return f"{type(self).__name__}({', '.join(f'{k}={shown(v)}' for k, v in arguments.items())})"


def _strength(value: Any, name: str) -> Any:
    """A strength of one weight: a number or an array, and no tree of them."""
    if not is_number(value):
        raise TypeError(
            f"{name} is {value!r} of type {type(value).__name__}: expected a number, or an array that "
            "broadcasts to the weight; for a Penalty there is penalties.keras.Regularizer"
        )
    return checked(value, name)


@final
@keras.saving.register_keras_serializable("penalties")
class L1(_DropIn):
    """l1 · Σ|x|, as `keras.regularizers.L1`; the gradient at 0 is 0.

    Args:
        l1: strength ≥ 0, a number or an array that broadcasts to the weight.

    >>> import keras, penalties.keras
    >>> float(penalties.keras.L1(0.5)(keras.ops.ones((2, 3))))
    3.0
    """

    def __init__(self, l1: Strength = 0.01):
        super().__init__(penalties.L1(_strength(0.01 if l1 is None else l1, "L1.l1")))

    @property
    def l1(self) -> Strength:
        """The strength of Σ|x|."""
        return self._penalty.strength  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """{"l1": the strength}."""
        return {"l1": plain(self.l1)}


@final
@keras.saving.register_keras_serializable("penalties")
class L2(_DropIn):
    """l2 · Σx² (no ½), as `keras.regularizers.L2`.

    Args:
        l2: strength ≥ 0, a number or an array that broadcasts to the weight.

    >>> import keras, penalties.keras
    >>> float(penalties.keras.L2(0.5)(2 * keras.ops.ones((2, 3))))
    12.0
    """

    def __init__(self, l2: Strength = 0.01):
        super().__init__(penalties.L2(_strength(0.01 if l2 is None else l2, "L2.l2")))

    @property
    def l2(self) -> Strength:
        """The strength of Σx²."""
        return self._penalty.strength  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """{"l2": the strength}."""
        return {"l2": plain(self.l2)}


@final
@keras.saving.register_keras_serializable("penalties")
class L1L2(_DropIn):
    """l1 · Σ|x| + l2 · Σx², as `keras.regularizers.L1L2`; the gradient at 0 is 0.

    Args:
        l1: strength of Σ|x|, ≥ 0, a number or an array that broadcasts to the weight.
        l2: strength of Σx², likewise.

    >>> import keras, penalties.keras
    >>> float(penalties.keras.L1L2(l1=0.5, l2=0.25)(2 * keras.ops.ones((2, 3))))
    12.0
    """

    def __init__(self, l1: Strength = 0.0, l2: Strength = 0.0):
        l1, l2 = 0.0 if l1 is None else l1, 0.0 if l2 is None else l2
        super().__init__(penalties.ElasticNet(_strength(l1, "L1L2.l1"), _strength(l2, "L1L2.l2")))

    @property
    def l1(self) -> Strength:
        """The strength of Σ|x|."""
        return self._penalty.l1  # type: ignore[attr-defined]

    @property
    def l2(self) -> Strength:
        """The strength of Σx²."""
        return self._penalty.l2  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """{"l1": ..., "l2": ...}."""
        return {"l1": plain(self.l1), "l2": plain(self.l2)}


@final
@keras.saving.register_keras_serializable("penalties")
class OrthogonalRegularizer(_DropIn):
    """factor · mean over pairs i < j of |cos(xᵢ, xⱼ)|, as `keras.regularizers.OrthogonalRegularizer`.

    Args:
        factor: strength ≥ 0, a number.
        mode: "rows" or "columns" of the matrix: what is made orthogonal.

    Raises:
        TypeError: factor is no number.
        ValueError: another mode; when called, if x is not a matrix.

    >>> import keras, penalties.keras
    >>> x = keras.ops.array([[1.0, 0.0], [3.0, 4.0]])
    >>> round(float(penalties.keras.OrthogonalRegularizer(1.0)(x)), 4)
    0.6
    """

    def __init__(self, factor: Strength = 0.01, mode: str = "rows"):
        if mode not in ("rows", "columns"):
            raise ValueError(f'mode is {mode!r}: expected "rows" or "columns"')
        factor = _strength(factor, "OrthogonalRegularizer.factor")
        if jnp.ndim(factor):
            raise TypeError(
                f"OrthogonalRegularizer.factor is an array of shape {jnp.shape(factor)}: expected a number"
            )
        super().__init__(_MeanCosine(factor, mode))

    @property
    def factor(self) -> Strength:
        """The strength."""
        return self._penalty.strength  # type: ignore[attr-defined]

    @property
    def mode(self) -> str:
        """ "rows" or "columns"."""
        return self._penalty.mode  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """{"factor": ..., "mode": ...}."""
        return {"factor": plain(self.factor), "mode": self.mode}


@final
class _MeanCosine(Penalty):
    """strength · mean over pairs i < j of |cos(wᵢ, wⱼ)|; a zero row has cosine 0, and gradient 0."""

    strength: Strength
    mode: str = static(default="rows")

    def value_at(self, w: Array) -> Array:
        if w.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer got an array of shape {w.shape}: expected a matrix (rank 2)"
            )
        rows = w if self.mode == "rows" else w.T
        units = ratio(rows, norm(rows, (1,)))
        cosines = modulus(units @ units.conj().T)
        cosines = cosines * (1 - jnp.eye(rows.shape[0], dtype=cosines.dtype))
        # Each pair stands twice in the matrix. One row alone is in no pair.
        count = jnp.asarray(rows.shape[0]).astype(cosines.dtype)
        return self.strength * jnp.sum(cosines) / jnp.maximum(count * (count - 1), 1)

    def prox_at(self, v: Array, step: Array) -> Array:
        raise TypeError("OrthogonalRegularizer has no prox in closed form: use it in a loss")
