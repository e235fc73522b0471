"""Penalties of neighbours and of sorted weights, and their proxes, as pure functions."""

from typing import Any, TypeVar

from jax import Array

from penalties._family.sorted import OSCAR, SLOPE, GroupSLOPE
from penalties._family.variation import SquaredDifferences, TotalVariation
from penalties._penalty.strengths import Strength

T = TypeVar("T")


def total_variation(params: Any, strength: Strength, *, axis: int = -1) -> Array:
    """strength · Σ|w_{i+1} − w_i| along `axis` of every floating or complex leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import total_variation
    >>> float(total_variation(jnp.array([1.0, 3.0, 0.0]), 0.5))
    2.5
    """
    return TotalVariation(strength, axis)(params)


def squared_differences(params: Any, strength: Strength, *, axis: int = -1) -> Array:
    """strength · Σ(w_{i+1} − w_i)² (no ½) along `axis` of every floating or complex leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import squared_differences
    >>> float(squared_differences(jnp.array([1.0, 3.0, 0.0]), 0.5))
    6.5
    """
    return SquaredDifferences(strength, axis)(params)


def slope(params: Any, strengths: Strength) -> Array:
    """Σ λ_i·|w|_(i), the largest weight of a leaf times the largest strength, and so on: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import slope
    >>> float(slope(jnp.array([-1.0, 4.0]), [2.0, 1.0]))
    9.0
    """
    return SLOPE(strengths)(params)


def oscar(params: Any, *, l1: Strength, l2: Strength) -> Array:
    """l1 · Σ|w| + l2 · Σ_{i<j} max(|w_i|, |w_j|) over each leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import oscar
    >>> float(oscar(jnp.array([-1.0, 4.0]), l1=1.0, l2=0.5))
    7.0
    """
    return OSCAR(l1, l2)(params)


def group_slope(params: Any, strengths: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """Σ λ_i·(√|g|·‖w_g‖₂)_(i), one group per index along `axis`: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import group_slope
    >>> float(group_slope(jnp.array([[3.0, 0.0], [4.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), [2.0, 1.0]))
    22.0
    """
    return GroupSLOPE(strengths, axis)(params)


def prox_total_variation(params: T, strength: Strength, *, axis: int = -1, step: Any = 1.0) -> T:
    """argmin_z step·strength·Σ|z_{i+1} − z_i| + ½‖z − w‖² for each line along `axis`, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_total_variation
    >>> prox_total_variation(jnp.array([1.0, 2.0, 5.0]), 0.5).tolist()
    [1.5, 2.0, 4.5]
    """
    return TotalVariation(strength, axis).prox(params, step)


def prox_squared_differences(params: T, strength: Strength, *, axis: int = -1, step: Any = 1.0) -> T:
    """(I + 2·step·strength·DᵀD)⁻¹w for each line along `axis`, D its differences, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_squared_differences
    >>> prox_squared_differences(jnp.array([0.0, 3.0]), 0.5).tolist()
    [1.0, 2.0]
    """
    return SquaredDifferences(strength, axis).prox(params, step)


def prox_slope(params: T, strengths: Strength, *, step: Any = 1.0) -> T:
    """Isotonic regression of |w| − step·λ in the order of |w|, cut at 0, with w's signs, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_slope
    >>> prox_slope(jnp.array([-4.0, 3.5]), [2.0, 1.0]).tolist()
    [-2.25, 2.25]
    """
    return SLOPE(strengths).prox(params, step)


def prox_oscar(params: T, *, l1: Strength, l2: Strength, step: Any = 1.0) -> T:
    """`prox_slope` with the strengths l1 + l2·(n − i) on a leaf of n weights, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_oscar
    >>> prox_oscar(jnp.array([-4.0, 3.5]), l1=1.0, l2=1.0).tolist()
    [-2.25, 2.25]
    """
    return OSCAR(l1, l2).prox(params, step)


def prox_group_slope(
    params: T, strengths: Strength, *, axis: int | tuple[int, ...] = -1, step: Any = 1.0
) -> T:
    """`prox_slope` of the norms of the groups, of which each group keeps its direction, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_group_slope
    >>> print(prox_group_slope(jnp.array([[3.0, 0.0], [4.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), 0.5))
    [[2.4 0. ]
     [3.2 0. ]
     [0.  0. ]
     [0.  0. ]]
    """
    return GroupSLOPE(strengths, axis).prox(params, step)
