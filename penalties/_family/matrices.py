"""Penalties of the singular values of a leaf as a matrix: Spectral, Nuclear, Rank, SpectralNorm."""

import abc
from typing import TYPE_CHECKING, Any, ClassVar, final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.decompositions import singular_values
from penalties._family.elementwise import L1
from penalties._family.powers import L0
from penalties._family.singular import largest_singular_value, on_singular_values, total_of_singular_values
from penalties._penalty.axes import as_matrix, checked_axes, from_matrix, require_one_number
from penalties._penalty.base import Penalty
from penalties._penalty.fields import nested, remade, static
from penalties._penalty.sizes import PenaltyOfSizes
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
    def of_sizes(self) -> PenaltyOfSizes:
        """φ."""

    @property
    def flat(self) -> bool:
        """Whether φ is."""
        return self.of_sizes.flat

    @property
    def way_out(self) -> str:
        """`proximal`; of a flat φ no loss feels anything."""
        flat = "use `penalties.proximal(penalty, step_size)` at the end of a chain"
        return flat if self.flat else super().way_out

    def value_at(self, w: Array) -> Array:
        return total_of_singular_values(as_matrix(self, w), self._phi(w))

    def prox_at(self, v: Array, step: Array) -> Array:
        step = require_one_number(step, "step", self, v)
        return from_matrix(self, on_singular_values(_prox_of, as_matrix(self, v), (self._phi(v), step)), v)

    def _phi(self, w: Array) -> PenaltyOfSizes:
        return jax.tree.map(lambda x: require_one_number(x, "strength", self, w), self.of_sizes)


def _prox_of(sizes: Array, numbers: tuple[PenaltyOfSizes, Array]) -> Array:
    phi, step = numbers
    return phi.prox_of(sizes, step)


@final
class Spectral(SpectralPenalty):
    """A penalty of single weights on the singular values of each leaf: Σ φ(σ_i(W)).

    Args:
        penalty: one of sizes: L1 (which gives `Nuclear`), L0 (`Rank`), ElasticNet, MCP, SCAD, LogSum, or
        your own. axis: of the leaf as a matrix this axis (or these) counts the columns, and all other axes
        the rows.
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

    penalty: PenaltyOfSizes = nested()
    axis: int | tuple[int, ...] = static(default=-1)

    def __post_init__(self):
        if not isinstance(self.penalty, PenaltyOfSizes):
            raise TypeError(
                f"Spectral got {self.penalty!r} of type {type(self.penalty).__name__}: expected one penalty "
                "of sizes, such as L1(0.1) or MCP(0.1); a sum or a selection goes around, as in "
                "`(Spectral(L1(0.1)) + L2(0.1)).on(penalties.kernels)`"
            )
        super().__post_init__()

    @property
    def of_sizes(self) -> PenaltyOfSizes:
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
    axis: int | tuple[int, ...] = static(default=-1)

    @property
    def of_sizes(self) -> PenaltyOfSizes:
        """The lasso, on sizes."""
        return remade(_L1, strength=self.strength)


_L0 = L0(0.0)


@final
class Rank(SpectralPenalty):
    """strength · rank(W): the number of singular values that are more than rounding.

    Args:
        strength: λ ≥ 0; a number, or a tree with one for each leaf.
        axis: of the leaf as a matrix this axis (or these) counts the columns, as in `Spectral`.

    The prox is exact for any step: singular values of √(2·step·λ) or less become 0, the others stay. The
    gradient is 0 everywhere, so that in a loss it does nothing: train with `proximal`; `factorize` then
    takes the factors out.

    >>> import jax.numpy as jnp
    >>> from penalties import Rank
    >>> penalty = Rank(1.0)
    >>> w = jnp.array([[3.0, 0.0], [0.0, -0.5]])
    >>> float(penalty(w))
    2.0
    >>> print(penalty.prox(w))
    [[3. 0.]
     [0. 0.]]

    Raises:
        ValueError: a leaf is no matrix; a strength or a step varies in it.

    Source: Eckart and Young, The approximation of one matrix by another of lower rank, Psychometrika 1
    (1936)."""

    strength: Strength
    axis: int | tuple[int, ...] = static(default=-1)

    @property
    def of_sizes(self) -> PenaltyOfSizes:
        """The number of what is not zero, on sizes."""
        return remade(_L0, strength=self.strength)


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
    axis: int | tuple[int, ...] = static(default=-1)

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
