"""Constraints on matrices: Orthonormal, PSD."""

from typing import final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.decompositions import eigh, svd
from penalties._numerics import ratio
from penalties._penalty.axes import checked_axis
from penalties._penalty.constraint import Constraint
from penalties._penalty.fields import static


@final
class Orthonormal(Constraint):
    """WᴴW = I: columns are orthogonal and of norm 1; of a matrix with more columns than rows, the rows.

    Args:
        axis: the matrix has one column per index along this axis; all other axes of a leaf are its rows, as
            in `keras.initializers.Orthogonal`. With the default, -1, a kernel of shape (3, 3, in, out) is a
            matrix of 9·in rows and `out` columns.

    The projection is the polar factor UVᴴ of W = USVᴴ, by a singular value decomposition; where W has not
    full rank it is one of the nearest.

    Raises:
        ValueError: in use, on a leaf with fewer than two axes, or without this axis.

    >>> import jax.numpy as jnp
    >>> from penalties import Orthonormal
    >>> print(abs(Orthonormal().prox(jnp.array([[3.0, 0.0], [0.0, 0.5], [0.0, 0.0]]))))
    [[1. 0.]
     [0. 1.]
     [0. 0.]]

    Source: Higham, Functions of matrices (2008), theorem 8.4; its derivative is section 8.2.
    """

    axis: int = static(default=-1)

    rounding = 64

    def __post_init__(self):
        object.__setattr__(self, "axis", checked_axis(self))
        super().__post_init__()

    def project_at(self, w: Array) -> Array:
        if w.ndim < 2 or not -w.ndim <= self.axis < w.ndim:
            raise ValueError(
                f"Orthonormal(axis={self.axis}) on a leaf of shape {w.shape}: expected a matrix, or more "
                "axes, and this one among them; select such leaves with `.on(...)`"
            )
        if w.size == 0:
            return w
        last = jnp.moveaxis(w, self.axis, -1)
        columns = _polar(last.reshape(-1, last.shape[-1])).reshape(last.shape)
        return jnp.moveaxis(columns, -1, self.axis)


@final
class PSD(Constraint):
    """Symmetric (complex: Hermitian) matrices whose eigenvalues are ≥ 0, such as covariances.

    The last two axes of a leaf are the matrix; all before are a stack of them, as in `numpy.linalg`. The
    projection sets the negative eigenvalues of the symmetric part ½(W + Wᴴ) to 0.

    Raises:
        ValueError: in use, on a leaf whose last two axes are not a square.

    >>> import jax.numpy as jnp
    >>> from penalties import PSD
    >>> print(PSD().prox(jnp.array([[2.0, 0.0], [0.0, -1.0]])))
    [[2. 0.]
     [0. 0.]]

    Source: Higham, Computing a nearest symmetric positive semidefinite matrix, Linear Algebra Appl. 103
    (1988).
    """

    rounding = 64

    def project_at(self, w: Array) -> Array:
        if w.ndim < 2 or w.shape[-1] != w.shape[-2]:
            raise ValueError(
                f"PSD on a leaf of shape {w.shape}: expected a square matrix, or a stack of them; select "
                "such leaves with `.on(...)`"
            )
        return w if w.size == 0 else _hermitian(_positive_part(_hermitian(w)))

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        return (w.ndim - 2, w.ndim - 1)


def _hermitian(x: Array) -> Array:
    return (x + _transposed(x)) / 2


def _transposed(x: Array) -> Array:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


@jax.custom_jvp
def _polar(x: Array) -> Array:
    """The polar factor UVᴴ of a matrix USVᴴ, with a derivative where singular values are equal, too."""
    left, _, right = svd(x)
    return left @ right


@_polar.defjvp
def _polar_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    left, sizes, right = svd(x)
    inside = _transposed(left) @ dx @ _transposed(right)
    sums = sizes[:, None] + sizes[None, :]
    # Times the inverse: of a tangent `ratio`, which asks for NaN, is not linear.
    turned = (inside - _transposed(inside)) * ratio(jnp.ones_like(sums), sums).astype(x.dtype)
    # What leaves the span of the columns, or of the rows.
    inverse = ratio(jnp.ones_like(sizes), sizes).astype(x.dtype)
    off_left = dx @ _transposed(right) - left @ inside
    off_right = _transposed(left) @ dx - inside @ right
    tangent = (
        left @ turned @ right + (off_left * inverse[None, :]) @ right + left @ (inverse[:, None] * off_right)
    )
    return left @ right, tangent


@jax.custom_jvp
def _positive_part(x: Array) -> Array:
    """A Hermitian matrix without its negative eigenvalues, with a derivative where some are equal, too."""
    sizes, vectors = eigh(x)
    return (vectors * jnp.maximum(sizes, 0)[..., None, :].astype(x.dtype)) @ _transposed(vectors)


@_positive_part.defjvp
def _positive_part_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    sizes, vectors = eigh(x)
    kept = jnp.maximum(sizes, 0)
    one, other = sizes[..., :, None], sizes[..., None, :]
    slopes = jnp.where(
        (one > 0) == (other > 0),
        (one > 0).astype(sizes.dtype),
        ratio(kept[..., :, None] - kept[..., None, :], one - other),
    )
    inside = _transposed(vectors) @ dx @ vectors
    tangent = vectors @ (slopes.astype(x.dtype) * inside) @ _transposed(vectors)
    return (vectors * kept[..., None, :].astype(x.dtype)) @ _transposed(vectors), tangent
