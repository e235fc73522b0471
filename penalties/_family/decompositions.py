"""Decompositions of matrices that hold NaN or infinity come out as NaN: LAPACK's may not come back at all."""

import jax.numpy as jnp
from jax import Array


def svd(matrix: Array) -> tuple[Array, Array, Array]:
    """U, σ and Vᴴ of the thin decomposition."""
    safe, nan = _finite(matrix)
    u, s, vh = jnp.linalg.svd(safe, full_matrices=False)
    return _spoilt(u, nan[..., None, None]), _spoilt(s, nan[..., None]), _spoilt(vh, nan[..., None, None])


def singular_values(matrix: Array) -> Array:
    """σ, the largest first."""
    safe, nan = _finite(matrix)
    return _spoilt(jnp.linalg.svd(safe, compute_uv=False), nan[..., None])


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, the smallest first, and eigenvectors of a Hermitian matrix."""
    safe, nan = _finite(matrix)
    sizes, vectors = jnp.linalg.eigh(safe, symmetrize_input=False)
    return _spoilt(sizes, nan[..., None]), _spoilt(vectors, nan[..., None, None])


def eigenvalues(matrix: Array) -> Array:
    """Eigenvalues of a Hermitian matrix, the smallest first."""
    safe, nan = _finite(matrix)
    return _spoilt(jnp.linalg.eigvalsh(safe), nan[..., None])


def _finite(matrix: Array) -> tuple[Array, Array]:
    """The matrix, zeros where it is not finite throughout, and whether it is not."""
    finite = jnp.all(jnp.isfinite(matrix), (-2, -1))
    return jnp.where(finite[..., None, None], matrix, jnp.zeros_like(matrix)), ~finite


def _spoilt(x: Array, nan: Array) -> Array:
    return jnp.where(nan, jnp.full_like(x, jnp.nan), x)
