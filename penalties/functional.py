"""The penalties as pure functions of a tree of params: jitted, stateless, strengths as data.

Each is its class with the strengths filled in: `l1(params, 0.1)` is `L1(0.1)(params)`; of constraints it is
the projection, `project_l2_ball(params, 1.0)`.
"""

from typing import Any, TypeVar

from jax import Array

from penalties._family.elementwise import L1, L2, ElasticNet
from penalties._family.group_functions import (
    exclusive_lasso,
    group_l_inf,
    group_lasso,
    prox_exclusive_lasso,
    prox_group_l_inf,
    prox_group_lasso,
)
from penalties._family.matrices import Nuclear, Orthogonal, SoftOrthogonal, SpectralNorm
from penalties._family.projections import (
    project_box,
    project_l1_ball,
    project_l2_ball,
    project_l_inf_ball,
    project_max_norm,
    project_min_max_norm,
    project_n_of_m,
    project_non_negative,
    project_orthonormal,
    project_psd,
    project_simplex,
    project_sparse,
    project_unit_norm,
)
from penalties._family.sorted import OSCAR, SLOPE, GroupSLOPE
from penalties._family.variation import SquaredDifferences, TotalVariation
from penalties._penalty.strengths import Strength

T = TypeVar("T")

__all__ = [
    "elastic_net",
    "exclusive_lasso",
    "group_l_inf",
    "group_lasso",
    "group_slope",
    "l1",
    "l2",
    "nuclear",
    "orthogonal",
    "oscar",
    "project_box",
    "project_l1_ball",
    "project_l2_ball",
    "project_l_inf_ball",
    "project_max_norm",
    "project_min_max_norm",
    "project_n_of_m",
    "project_non_negative",
    "project_orthonormal",
    "project_psd",
    "project_simplex",
    "project_sparse",
    "project_unit_norm",
    "prox_elastic_net",
    "prox_exclusive_lasso",
    "prox_group_l_inf",
    "prox_group_lasso",
    "prox_group_slope",
    "prox_l1",
    "prox_l2",
    "prox_nuclear",
    "prox_oscar",
    "prox_slope",
    "prox_spectral_norm",
    "prox_squared_differences",
    "prox_total_variation",
    "slope",
    "soft_orthogonal",
    "spectral_norm",
    "squared_differences",
    "total_variation",
]


def l1(params: Any, strength: Strength) -> Array:
    """strength · Σ|w| over every floating or complex leaf: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import l1
    >>> float(l1({"kernel": jnp.array([1.0, -2.0])}, 0.5))
    1.5
    """
    return L1(strength)(params)


def l2(params: Any, strength: Strength) -> Array:
    """strength · Σw² (no ½) over every floating or complex leaf: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import l2
    >>> float(l2({"kernel": jnp.array([1.0, -2.0])}, 0.5))
    2.5
    """
    return L2(strength)(params)


def elastic_net(params: Any, *, l1: Strength, l2: Strength) -> Array:
    """l1 · Σ|w| + l2 · Σw² over every floating or complex leaf: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import elastic_net
    >>> float(elastic_net({"kernel": jnp.array([1.0, -2.0])}, l1=0.5, l2=0.5))
    4.0
    """
    return ElasticNet(l1, l2)(params)


def nuclear(params: Any, strength: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """strength · Σ σ_i over the singular values of each leaf, `axis` counting its columns: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import nuclear
    >>> round(float(nuclear(jnp.diag(jnp.array([3.0, -0.5])), 2.0)), 4)
    7.0
    """
    return Nuclear(strength, axis)(params)


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


def prox_l1(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """Soft thresholding by step·strength: sign(w)·max(|w| − step·strength, 0), a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l1
    >>> prox_l1(jnp.array([1.0, -0.25]), 0.5, step=1.0).tolist()
    [0.5, 0.0]
    """
    return L1(strength).prox(params, step)


def prox_l2(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """w / (1 + 2·step·strength), a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l2
    >>> prox_l2(jnp.array([1.0, -0.5]), 0.5, step=1.0).tolist()
    [0.5, -0.25]
    """
    return L2(strength).prox(params, step)


def prox_elastic_net(params: T, *, l1: Strength, l2: Strength, step: Any = 1.0) -> T:
    """Soft thresholding by step·l1, then division by 1 + 2·step·l2, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_elastic_net
    >>> prox_elastic_net(jnp.array([1.5, -0.25]), l1=0.5, l2=0.5, step=1.0).tolist()
    [0.5, 0.0]
    """
    return ElasticNet(l1, l2).prox(params, step)


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


def prox_nuclear(params: T, strength: Strength, *, axis: int | tuple[int, ...] = -1, step: Any = 1.0) -> T:
    """Soft thresholding of the singular values of each leaf by step·strength, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_nuclear
    >>> print(prox_nuclear(jnp.diag(jnp.array([3.0, 0.5])), 1.0).round(4))
    [[2. 0.]
     [0. 0.]]
    """
    return Nuclear(strength, axis).prox(params, step)


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
