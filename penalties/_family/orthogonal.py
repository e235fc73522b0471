"""Penalties of how far from orthogonal the rows or columns of a leaf as a matrix are."""

from typing import final

import jax.numpy as jnp
from jax import Array

from penalties._family.matrices import MatrixPenalty
from penalties._numerics import modulus, norm, ratio, weighted_squares
from penalties._penalty.axes import as_matrix, require_one_number
from penalties._penalty.fields import static
from penalties._penalty.settling import SmoothPenalty
from penalties._penalty.strengths import Strength


@final
class Orthogonal(MatrixPenalty):
    """strength · mean of |cos| over pairs of rows: rows, or columns, that are orthogonal to each other.

    Args:
        strength: λ ≥ 0; a number, or a tree with one for each leaf.
        mode: "rows" or "columns" of the leaf as a matrix.
        axis: this axis (or these) counts the columns, as in `Spectral`.

    The same numbers as `keras.regularizers.OrthogonalRegularizer(strength, mode)`, which takes matrices
    only; with fewer than two rows it is 0, where Keras has NaN. It has no prox: use it in a loss.

    >>> import jax.numpy as jnp
    >>> from penalties import Orthogonal
    >>> round(float(Orthogonal(1.0)(jnp.array([[1.0, 0.0], [3.0, 4.0]]))), 4)
    0.6

    Raises:
        ValueError: a leaf is no matrix; a strength varies in it; the mode is neither.
    """

    strength: Strength
    mode: str = static(default="rows")
    axis: int | tuple[int, ...] = static(default=-1)

    way_out = "use it in a loss, or `add_penalty(penalty)` in front of the optimizer"

    def __post_init__(self):
        if self.mode not in ("rows", "columns"):
            raise ValueError(f'Orthogonal.mode is {self.mode!r}: expected "rows" or "columns"')
        super().__post_init__()

    def value_at(self, w: Array) -> Array:
        matrix = as_matrix(self, w)
        strength = require_one_number(self.strength, "strength", self, w)
        rows = matrix if self.mode == "rows" else matrix.T
        length = norm(rows, (1,))
        rows = ratio(rows, length.astype(rows.dtype))
        count = rows.shape[0]
        cosines = modulus(rows @ rows.conj().T)
        pairs = jnp.sum(jnp.where(jnp.eye(count, dtype=jnp.bool_), jnp.zeros_like(cosines), cosines)) / 2
        number = jnp.asarray(count * (count - 1) // 2).astype(pairs.dtype)
        return strength * ratio(pairs, number)


@final
class SoftOrthogonal(MatrixPenalty, SmoothPenalty):
    """strength · ‖WᴴW − I‖²_F: columns of length 1 that are orthogonal to each other.

    Args:
        strength: λ ≥ 0; a number, or a tree with one for each leaf.
        axis: of the leaf as a matrix this axis (or these) counts the columns, as in `Spectral`.

    It is smooth, and not convex; at W = 0 its value is strength · the number of columns, and its gradient 0.
    Of more columns than rows it cannot be 0: count the rows by `axis` then. It has no prox.

    >>> import jax.numpy as jnp
    >>> from penalties import SoftOrthogonal
    >>> float(SoftOrthogonal(0.5)(jnp.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])))
    4.5

    Raises:
        ValueError: a leaf is no matrix; a strength varies in it.

    Source: Bansal, Chen and Wang, Can we gain more from orthogonality regularizations in training deep
    networks? NeurIPS 2018.
    """

    strength: Strength
    axis: int | tuple[int, ...] = static(default=-1)

    def value_at(self, w: Array) -> Array:
        matrix = as_matrix(self, w)
        gram = matrix.conj().T @ matrix
        apart = gram - jnp.eye(gram.shape[0], dtype=gram.dtype)
        return weighted_squares(apart, require_one_number(self.strength, "strength", self, w))
