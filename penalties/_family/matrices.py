"""Penalties of a leaf as a matrix: of its singular values, and of how far from orthogonal it is."""

import abc
from typing import TYPE_CHECKING, Any, ClassVar, final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.decompositions import singular_values
from penalties._family.elementwise import L1
from penalties._family.singular import largest_singular_value, on_singular_values, total_of_singular_values
from penalties._numerics import modulus, norm, ratio, weighted_squares
from penalties._penalty.axes import as_matrix, checked_axes, from_matrix, require_one_number
from penalties._penalty.base import Penalty
from penalties._penalty.fields import nested, remade, static
from penalties._penalty.settling import SmoothPenalty
from penalties._penalty.sizes import SizePenalty
from penalties._penalty.strengths import Strength


class MatrixPenalty(Penalty, abc.ABC):
    """A penalty of each leaf as a matrix: `axis` counts its columns, all other axes its rows."""

    if TYPE_CHECKING:  # a static field of each subclass; here it would come before the strength
        axis: ClassVar[Any]

    def __post_init__(self):
        object.__setattr__(self, "axis", checked_axes(self))
        super().__post_init__()


class SpectralPenalty(MatrixPenalty, abc.ABC):
    """R(W) = Σ φ(σ_i(W)) over the singular values of a leaf as a matrix."""

    @property
    @abc.abstractmethod
    def of_sizes(self) -> SizePenalty:
        """φ."""

    def value_at(self, w: Array) -> Array:
        return total_of_singular_values(as_matrix(self, w), self._phi(w))

    def prox_at(self, v: Array, step: Array) -> Array:
        step = require_one_number(step, "step", self, v)
        return from_matrix(self, on_singular_values(_prox_of, as_matrix(self, v), (self._phi(v), step)), v)

    def _phi(self, w: Array) -> SizePenalty:
        return jax.tree.map(lambda x: require_one_number(x, "strength", self, w), self.of_sizes)


def _prox_of(sizes: Array, numbers: tuple[SizePenalty, Array]) -> Array:
    phi, step = numbers
    return phi.prox_of(sizes, step)


@final
class Spectral(SpectralPenalty):
    """A penalty of single weights on the singular values of each leaf: Σ φ(σ_i(W)).

    Args:
        penalty: one of sizes: L1 (which gives `Nuclear`), ElasticNet, MCP, LogSum, Huber, or your own.
        axis: of the leaf as a matrix this axis (or these) counts the columns, and all other axes the rows.
            With the default, -1, of a convolution's kernel (height, width, in, out) the columns are the
            filters. Of an attention kernel (in, heads, width) give (1, 2).

    The prox goes through the singular values, each leaf's in one SVD. Value and prox have finite
    derivatives where singular values are equal or zero; a singular value that is zero has gradient 0. Its
    kinks are where a singular value is zero, and not a weight: train with `proximal`.

    >>> import jax.numpy as jnp
    >>> from penalties import MCP, Spectral
    >>> penalty = Spectral(MCP(1.0, gamma=3.0))
    >>> w = jnp.diag(jnp.array([9.0, 0.5]))
    >>> round(float(penalty(w)), 4)
    1.9583
    >>> print(penalty.prox(w))  # a large singular value is not shrunk
    [[9. 0.]
     [0. 0.]]

    Raises:
        ValueError: a leaf is no matrix, for it has no axis besides `axis`; a strength or a step varies in it.

    Source: for the prox, Lewis, The convex analysis of unitarily invariant matrix functions, J. Convex Anal.
    2 (1995).
    """

    penalty: SizePenalty = nested()
    axis: int | tuple[int, ...] = static(-1)

    def __post_init__(self):
        if not isinstance(self.penalty, SizePenalty):
            raise TypeError(
                f"Spectral got {self.penalty!r} of type {type(self.penalty).__name__}: expected one penalty "
                "of sizes, such as L1(0.1) or MCP(0.1); a sum or a selection goes around, as in "
                "`(Spectral(L1(0.1)) + L2(0.1)).on(penalties.kernels)`"
            )
        super().__post_init__()

    @property
    def of_sizes(self) -> SizePenalty:
        """The penalty."""
        return self.penalty


_L1 = L1(0.0)


@final
class Nuclear(SpectralPenalty):
    """strength · Σ σ_i(W), the trace norm: matrices of low rank.

    Args:
        strength: λ ≥ 0; a number, or a tree with one for each leaf.
        axis: of the leaf as a matrix this axis (or these) counts the columns, as in `Spectral`.

    Train with `proximal`; `factorize` then takes the factors out.

    >>> import jax.numpy as jnp
    >>> from penalties import Nuclear
    >>> penalty = Nuclear(1.0)
    >>> w = jnp.array([[3.0, 0.0], [0.0, -0.5]])
    >>> float(penalty(w))
    3.5
    >>> print(penalty.prox(w))
    [[2. 0.]
     [0. 0.]]

    Raises:
        ValueError: a leaf is no matrix; a strength or a step varies in it.

    Source: Fazel, Hindi and Boyd, A rank minimization heuristic, ACC 2001; the prox is Cai, Candès and Shen,
    A singular value thresholding algorithm for matrix completion, SIAM J. Optim. 20 (2010).
    """

    strength: Strength
    axis: int | tuple[int, ...] = static(-1)

    @property
    def of_sizes(self) -> SizePenalty:
        """The lasso, on sizes."""
        return remade(_L1, strength=self.strength)


@final
class SpectralNorm(MatrixPenalty):
    """strength · σ_1(W), the largest singular value: how much a layer can enlarge its input.

    Args:
        strength: λ ≥ 0; a number, or a tree with one for each leaf.
        axis: of the leaf as a matrix this axis (or these) counts the columns, as in `Spectral`.

    >>> import jax.numpy as jnp
    >>> from penalties import SpectralNorm
    >>> penalty = SpectralNorm(1.0)
    >>> w = jnp.array([[3.0, 0.0], [0.0, -2.5]])
    >>> round(float(penalty(w)), 4)
    3.0
    >>> print(penalty.prox(w).round(4))
    [[ 2.25  0.  ]
     [ 0.   -2.25]]

    Raises:
        ValueError: a leaf is no matrix; a strength or a step varies in it.

    Source: Parikh and Boyd, Proximal algorithms (2014), section 6.7.3: the prox cuts the singular values at
    the level at which step·strength is cut off in all.
    """

    strength: Strength
    axis: int | tuple[int, ...] = static(-1)

    def value_at(self, w: Array) -> Array:
        return require_one_number(self.strength, "strength", self, w) * largest_singular_value(
            as_matrix(self, w)
        )

    def prox_at(self, v: Array, step: Array) -> Array:
        step = require_one_number(step, "step", self, v)
        matrix = as_matrix(self, v)
        by = step * require_one_number(self.strength, "strength", self, v)
        sizes = singular_values(matrix)
        levels = (jnp.cumsum(sizes) - by) / jnp.arange(1, sizes.size + 1, dtype=sizes.dtype)
        level = jnp.where(by == 0, jnp.inf, jnp.max(levels, initial=0))
        return from_matrix(self, on_singular_values(jnp.minimum, matrix, level), v)


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
    mode: str = static("rows")
    axis: int | tuple[int, ...] = static(-1)

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
    axis: int | tuple[int, ...] = static(-1)

    def value_at(self, w: Array) -> Array:
        matrix = as_matrix(self, w)
        gram = matrix.conj().T @ matrix
        apart = gram - jnp.eye(gram.shape[0], dtype=gram.dtype)
        return weighted_squares(apart, require_one_number(self.strength, "strength", self, w))
