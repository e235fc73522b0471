"""Penalties of matrices, and their proxes, as pure functions."""

from typing import Any, TypeVar

from jax import Array

from penalties._family.matrices import Nuclear, Rank, SpectralNorm
from penalties._family.orthogonal import Orthogonal, SoftOrthogonal
from penalties._penalty.strengths import Strength

T = TypeVar("T")


def nuclear(params: Any, strength: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """strength · Σ σ_i over the singular values of each leaf, `axis` counting its columns: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import nuclear
    >>> round(float(nuclear(jnp.diag(jnp.array([3.0, -0.5])), 2.0)), 4)
    7.0
    """
    return Nuclear(strength, axis)(params)


def rank(params: Any, strength: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """strength · the rank of each leaf, `axis` counting its columns: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import rank
    >>> float(rank(jnp.diag(jnp.array([3.0, -0.5, 0.0])), 2.0))
    4.0
    """
    return Rank(strength, axis)(params)


def spectral_norm(params: Any, strength: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """strength · σ_1, the largest singular value of each leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import spectral_norm
    >>> round(float(spectral_norm(jnp.diag(jnp.array([3.0, -0.5])), 2.0)), 4)
    6.0
    """
    return SpectralNorm(strength, axis)(params)


def orthogonal(
    params: Any, strength: Strength, *, mode: str = "rows", axis: int | tuple[int, ...] = -1
) -> Array:
    """strength · mean of |cos| over the pairs of rows, or columns, of each leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import orthogonal
    >>> round(float(orthogonal(jnp.array([[1.0, 0.0], [3.0, 4.0]]), 1.0)), 4)
    0.6
    """
    return Orthogonal(strength, mode, axis)(params)


def soft_orthogonal(params: Any, strength: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """strength · ‖WᴴW − I‖²_F of each leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import soft_orthogonal
    >>> float(soft_orthogonal(jnp.array([[1.0, 0.0], [0.0, 2.0]]), 0.5))
    4.5
    """
    return SoftOrthogonal(strength, axis)(params)


def prox_nuclear(params: T, strength: Strength, *, axis: int | tuple[int, ...] = -1, step: Any = 1.0) -> T:
    """Soft thresholding of the singular values of each leaf by step·strength, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_nuclear
    >>> print(prox_nuclear(jnp.diag(jnp.array([3.0, 0.5])), 1.0).round(4))
    [[2. 0.]
     [0. 0.]]
    """
    return Nuclear(strength, axis).prox(params, step)


def prox_rank(params: T, strength: Strength, *, axis: int | tuple[int, ...] = -1, step: Any = 1.0) -> T:
    """Singular values of √(2·step·strength) or less become 0, for each leaf, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_rank
    >>> print(prox_rank(jnp.diag(jnp.array([3.0, 0.5])), 1.0))
    [[3. 0.]
     [0. 0.]]
    """
    return Rank(strength, axis).prox(params, step)


def prox_spectral_norm(
    params: T, strength: Strength, *, axis: int | tuple[int, ...] = -1, step: Any = 1.0
) -> T:
    """Singular values cut at the level at which step·strength is cut off in all, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_spectral_norm
    >>> print(prox_spectral_norm(jnp.diag(jnp.array([3.0, 0.5])), 1.0).round(4))
    [[2.  0. ]
     [0.  0.5]]
    """
    return SpectralNorm(strength, axis).prox(params, step)
