"""The factors of a path: a geometric grid, and what is asked of any others."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from penalties._penalty.integers import checked_int
from penalties._penalty.strengths import Range, checked, guarded


def strength_grid(maximum: Any, *, ratio: float = 1e-3, count: int = 64) -> Array:
    """`count` factors in geometric progression, from `maximum` down to ratio·maximum.

    Strong to weak, as paths of convex problems go; for networks turn it round: `strength_grid(m)[::-1]`.

    Args:
        maximum: the strongest, > 0, as `strength_max` returns it; it may be traced, or an array of maxima.
        ratio: the weakest, as a share of it, between 0 and 1.
        count: how many.

    Returns:
        An array of shape (count,), or (count, *maximum.shape), in the dtype of maximum.

    Raises:
        ValueError: maximum, ratio or count are out of range.
        TypeError: count is no int.

    >>> from penalties import strength_grid
    >>> print(strength_grid(2.0, ratio=0.01, count=3).round(3))
    [2.   0.2  0.02]

    Source: Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via
    coordinate descent, J. Stat. Softw. 33 (2010), section 2.5.
    """
    top = jnp.asarray(checked(maximum, "maximum", Range(above=0)))
    if not jnp.issubdtype(top.dtype, jnp.floating):
        top = top.astype(jax.dtypes.canonicalize_dtype(float))
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float, np.floating)) or not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio!r}: expected a number between 0 and 1, such as 1e-3")
    length = checked_int(count, "count", 1)
    shares = np.exp(np.linspace(0.0, math.log(ratio), length)) if length > 1 else np.ones(1)
    shares = jnp.asarray(shares.reshape(-1, *[1] * top.ndim), top.dtype)
    return shares * guarded(top[None], Range(above=0)).astype(top.dtype)


def concrete_factors(factors: Sequence[float] | Array, name: str = "factors") -> np.ndarray:
    """The factors of a path as a NumPy array, checked: one after the other, finite, in order.

    Raises:
        TypeError: they are traced, or no numbers.
        ValueError: they are not one-dimensional, empty, negative, not finite, or not in order.
    """
    if isinstance(factors, Tracer):
        raise TypeError(f"{name} are traced: a path runs in Python; call it outside jit and vmap")
    array = np.asarray(factors)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} are {factors!r}: expected numbers, such as strength_grid(1.0)")
    array = array.astype(array.dtype if array.dtype.kind == "f" else np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} have the shape {array.shape}: expected one number after the other")
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        raise ValueError(f"{name} are {array.tolist()}: all must be finite and ≥ 0")
    steps = np.diff(array)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(
            f"{name} are {array.tolist()}: they must rise or fall throughout, for each fit begins where the "
            "last one ended; sort them"
        )
    return array
