"""Arithmetic that keeps its promises at zero, at NaN and in half precision."""

import math
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

# Scalars added at a time. One chain of additions compiles in more than quadratic time and loses
# digits; one stack of thousands of scalars compiles for minutes. Blocks of 32 do neither.
_BLOCK = 32


def accumulator(dtype: DTypeLike) -> jnp.dtype:
    """The dtype sums are kept in: float64 for float64 (and complex128) leaves, else float32."""
    return jnp.dtype(jnp.float64 if jnp.finfo(dtype).bits == 64 else jnp.float32)


def widen(x: Array) -> Array:
    """`x` in its accumulator's dtype; complex leaves stay complex."""
    x = jnp.asarray(x)
    wide = accumulator(x.dtype)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return x.astype(jnp.complex128 if wide == jnp.float64 else jnp.complex64)
    return x.astype(wide)


def wider(x: Array, y: Array) -> jnp.dtype:
    """The dtype that holds the values of both, under strict dtype promotion as well."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(x.dtype, y.dtype)


@jax.custom_jvp
def modulus(x: Array) -> Array:
    """|x| with derivative sign(x): 0 at ±0 and NaN at NaN, where `jnp.abs` has +1 and −1."""
    return jnp.abs(x)


@modulus.defjvp
def _modulus_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return modulus(x), jnp.real(jnp.conj(phase(x)) * dx)


def phase(x: Array) -> Array:
    """sign(x), x/|x| of complex x, and 0 at 0; of complex x JAX takes the derivative of `jnp.sign` for 0."""
    if not jnp.iscomplexobj(x):
        return jnp.sign(x)
    size = modulus(x)
    return jax.lax.complex(ratio(jnp.real(x), size), ratio(jnp.imag(x), size))


@jax.custom_jvp
def _scaled_square(x: Array, strength: Array) -> Array:
    return (strength * x) * x


@_scaled_square.defjvp
def _scaled_square_jvp(primals, tangents):
    # Written out, for autodiff of the product takes twice the time. Value and tangent share no array:
    # strength * x in both would be stored in between, and be read twice.
    (x, strength), (dx, dstrength) = primals, tangents
    return _scaled_square(x, strength), ((2 * strength) * x) * dx + (dstrength * x) * x


def scaled_square(x: Array, strength: Array) -> Array:
    """strength·|x|², multiplied in the order that is 0, not NaN, for strength 0 and huge x."""
    if jnp.iscomplexobj(x):
        return _scaled_square(jnp.real(x), strength) + _scaled_square(jnp.imag(x), strength)
    return _scaled_square(x, strength)


def like(factor: Array, x: Array) -> Array:
    """A real factor in the dtype of a complex x: strict promotion does not mix the two."""
    return jnp.asarray(factor, x.dtype) if jnp.iscomplexobj(x) else factor


def is_small(x: Array) -> bool:
    """Whether a sum over x should be written to compile fast, and not to run fast: up to 65,536 numbers.

    For values with their gradients XLA stores what is summed in an array of that size; avoiding it
    takes more operations on scalars, which for a thousand leaves compile twice as long.
    """
    return not jax.export.is_symbolic_dim(x.size) and x.size <= 2**16


def square_root(count: Any) -> Any:
    """√count of a count of numbers, which `jax.export` may leave open."""
    if jax.export.is_symbolic_dim(count):
        return jnp.sqrt(jnp.asarray(count).astype(jnp.float32))
    return math.sqrt(count)


def weighted_sum(x: Array, strength: Array) -> Array:
    """Σ strength·x, for x ≥ 0; 0, not NaN, for strength 0 and a sum that overflows.

    One strength for many numbers comes after the sum, where it costs nothing; before it, value and gradient
    of 10 million weights take 1.8 times as long for L1, and the value of L2 twice as long.
    """
    if strength.ndim or is_small(x):
        return jnp.sum(strength * x)
    total = jnp.sum(x)
    return jnp.where((strength == 0) & (total == jnp.inf), jnp.zeros_like(total), strength * total)


def weighted_squares(x: Array, strength: Array) -> Array:
    """Σ strength·|x|², as `weighted_sum`."""
    if strength.ndim or is_small(x):
        return jnp.sum(scaled_square(x, strength))
    if jnp.iscomplexobj(x):
        return weighted_sum(jnp.square(jnp.real(x)) + jnp.square(jnp.imag(x)), strength)
    return weighted_sum(jnp.square(x), strength)


def norm(x: Array, axes: tuple[int, ...]) -> Array:
    """The Euclidean norm over `axes`, kept as axes of length 1; its gradient at a zero group is 0."""
    return safe_root(jnp.sum(squared(x), axes, keepdims=True))


def squared(x: Array) -> Array:
    """|x|²."""
    if jnp.iscomplexobj(x):
        return jnp.square(jnp.real(x)) + jnp.square(jnp.imag(x))
    return jnp.square(x)


@jax.custom_jvp
def safe_root(squares: Array) -> Array:
    """√squares, with gradient 0 at 0."""
    return jnp.sqrt(squares)


@safe_root.defjvp
def _safe_root_jvp(primals, tangents):
    (squares,), (dsquares,) = primals, tangents
    root = safe_root(squares)
    return root, dsquares * ratio(jnp.ones_like(root), 2 * root)


def mean_root(x: Array, axes: tuple[int, ...]) -> Array:
    """√mean|x|² over `axes`, kept as axes of length 1; its gradient at a zero group is 0."""
    return norm(x, axes) / square_root(members(x, axes))


def members(x: Array, axes: tuple[int, ...]) -> Any:
    """The number of entries along these axes, at least 1."""
    return at_least_one(math.prod(x.shape[axis] for axis in axes))


def at_least_one(count: Any) -> Any:
    """The count, or 1, of a count which `jax.export` may leave open."""
    return count if jax.export.is_symbolic_dim(count) else max(count, 1)


@jax.custom_jvp
def ratio(numerator: Array, denominator: Array) -> Array:
    """numerator / denominator, and 0 where the denominator is 0, with finite gradients; NaN stays NaN."""
    kept = jnp.isnan(numerator) | (denominator != 0)
    quotient = numerator / denominator
    return jnp.where(kept, quotient, jnp.zeros_like(quotient))


@ratio.defjvp
def _ratio_jvp(primals, tangents):
    (numerator, denominator), (dn, dd) = primals, tangents
    quotient = ratio(numerator, denominator)
    return quotient, (dn - quotient * dd) * ratio(jnp.ones_like(denominator), denominator)


def sum_scalars(scalars: list[Array]) -> Array:
    """The sum of many scalars, in blocks: accurate, and quick to compile for thousands of them."""
    if not scalars:
        return jnp.zeros((), jnp.float32)
    wide = max((s.dtype for s in scalars), key=lambda dtype: dtype.itemsize)
    scalars = [s.astype(wide) for s in scalars]
    while len(scalars) > 1:
        blocks = [scalars[i : i + _BLOCK] for i in range(0, len(scalars), _BLOCK)]
        scalars = [jnp.sum(jnp.stack(block)) if len(block) > 1 else block[0] for block in blocks]
    return scalars[0]
