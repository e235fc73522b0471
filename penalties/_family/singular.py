"""Functions of singular values, U·diag(σ)·Vᴴ ↦ U·diag(f(σ))·Vᴴ, with derivatives that are always finite."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.decompositions import singular_values, svd
from penalties._numerics import like, ratio
from penalties._penalty.sizes import PenaltyOfSizes, slopes

# f(σ, numbers), entry by entry.
Function = Callable[[Array, Any], Array]


def decomposed(matrix: Array) -> tuple[Array, Array, Array]:
    """U, σ and Vᴴ; singular values that rounding cannot tell from zero are zero."""
    u, s, vh = svd(matrix)
    return u, _but_rounding(s, matrix), vh


def _but_rounding(s: Array, matrix: Array) -> Array:
    tiny = jnp.finfo(s.dtype).eps * max_of(matrix.shape) * jnp.max(s, initial=0)
    return jnp.where(s <= tiny, jnp.zeros_like(s), s)


def max_of(shape: tuple[Any, ...]) -> Any:
    """The longer side, which `jax.export` may leave open: then their sum, which is not less."""
    return max(shape) if all(isinstance(n, int) for n in shape) else jnp.asarray(sum(shape), jnp.float32)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def on_singular_values(f: Function, matrix: Array, numbers: Any) -> Array:
    """U·diag(f(σ))·Vᴴ; the matrix itself, to the last bit, where f changes no singular value."""
    u, s, vh = decomposed(matrix)
    new = f(s, numbers)
    return jnp.where(jnp.all(new == s), matrix, _scaled(u, new) @ vh)


@on_singular_values.defjvp
def _on_singular_values_jvp(f: Function, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Of the divided differences of f; where singular values meet, or are zero, those are derivatives.

    Source: Lewis and Sendov, Nonsmooth analysis of singular values, Set-Valued Analysis 13 (2005); the
    formula is that of Daleckii and Krein for the odd extension of f.
    """
    (matrix, numbers), (dmatrix, dnumbers) = primals, tangents
    u, s, vh = decomposed(matrix)
    new, dnew = jax.jvp(lambda numbers: f(s, numbers), (numbers,), (dnumbers,))
    slope = jax.jvp(lambda s: f(s, numbers), (s,), (jnp.ones_like(s),))[1]
    rows, columns = s[:, None], s[None, :]
    apart, together = rows - columns, rows + columns
    near = jnp.abs(apart) <= jnp.finfo(s.dtype).eps ** 0.5 * together
    mean_slope = (slope[:, None] + slope[None, :]) / 2
    differences = jnp.where(near, mean_slope, ratio(new[:, None] - new[None, :], apart))
    sums = jnp.where(together == 0, mean_slope, ratio(new[:, None] + new[None, :], together))
    outside = jnp.where(s == 0, slope, ratio(new, s))

    v, uh = vh.conj().T, u.conj().T
    inner = uh @ dmatrix @ v
    turned = inner.conj().T
    inner_new = (like(differences, u) * (inner + turned) + like(sums, u) * (inner - turned)) / 2
    tall, wide = dmatrix @ v - u @ inner, uh @ dmatrix - inner @ vh
    tangent = u @ inner_new @ vh + _scaled(u, dnew) @ vh
    tangent += _scaled(tall, outside) @ vh + _scaled(u, outside) @ wide
    return on_singular_values(f, matrix, numbers), tangent


def _scaled(columns: Array, factors: Array) -> Array:
    return columns * like(factors[None, :], columns)


@jax.custom_jvp
def total_of_singular_values(matrix: Array, phi: PenaltyOfSizes) -> Array:
    """Σ φ(σ), with the derivative U·diag(φ′(σ))·Vᴴ: of singular values that are zero, 0."""
    return jnp.sum(phi.value_of(_but_rounding(singular_values(matrix), matrix)))


@total_of_singular_values.defjvp
def _total_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (matrix, phi), (dmatrix, dphi) = primals, tangents
    s = jax.lax.stop_gradient(_but_rounding(singular_values(matrix), matrix))
    value, by_numbers = jax.jvp(lambda phi: jnp.sum(phi.value_of(s)), (phi,), (dphi,))
    return value, by_numbers + inner_product(on_singular_values(_slope_of, matrix, phi), dmatrix)


def _slope_of(sizes: Array, phi: PenaltyOfSizes) -> Array:
    return jnp.where(sizes == 0, jnp.zeros_like(sizes), slopes(phi, sizes))


@jax.custom_jvp
def largest_singular_value(matrix: Array) -> Array:
    """σ_1, with the derivative u·vᴴ: of several that are largest the mean, of a zero matrix 0."""
    return jnp.max(singular_values(matrix), initial=0)


@largest_singular_value.defjvp
def _largest_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    ((matrix,), (dmatrix,)) = primals, tangents
    return largest_singular_value(matrix), inner_product(on_singular_values(_first, matrix, ()), dmatrix)


def _first(sizes: Array, _: Any) -> Array:
    first = (sizes == jnp.max(sizes, initial=0)) & (sizes > 0)
    return jnp.where(
        jnp.isnan(sizes), sizes, ratio(first.astype(sizes.dtype), jnp.sum(first.astype(sizes.dtype)))
    )


def inner_product(x: Array, y: Array) -> Array:
    """The real part of Σ x̄·y."""
    return jnp.sum(jnp.real(jnp.conj(x) * y))
