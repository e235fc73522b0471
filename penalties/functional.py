"""The penalties as pure functions of a tree of params: jitted, stateless, strengths as data.

Each is its class with the strengths filled in: `l1(params, 0.1)` is `L1(0.1)(params)`; of constraints it is
the projection, `project_l2_ball(params, 1.0)`.
"""

from typing import Any, TypeVar

from jax import Array

from penalties._family.elementwise import L1, L2, ElasticNet
from penalties._family.groups import GroupLasso
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
from penalties._penalty.strengths import Strength

T = TypeVar("T")

__all__ = [
    "elastic_net",
    "group_lasso",
    "l1",
    "l2",
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
    "prox_group_lasso",
    "prox_l1",
    "prox_l2",
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


def group_lasso(params: Any, strength: Strength, *, axis: int | tuple[int, ...] = -1) -> Array:
    """strength · Σ_g √|g|·‖w_g‖₂, one group per index along `axis`: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import group_lasso
    >>> round(float(group_lasso(jnp.array([[3.0, 0.5], [4.0, 0.0]]), 1.0)), 4)  # √2 · (5 + 0.5)
    7.7782
    """
    return GroupLasso(strength, axis)(params)


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


def prox_group_lasso(
    params: T, strength: Strength, *, axis: int | tuple[int, ...] = -1, step: Any = 1.0
) -> T:
    """w_g · max(1 − step·strength·√|g| / ‖w_g‖₂, 0) for each group, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_group_lasso
    >>> w = jnp.array([[3.0, 0.5], [4.0, 0.0], [0.0, 0.0], [0.0, 0.5]])
    >>> print(prox_group_lasso(w, 1.0, step=0.5))
    [[2.4 0. ]
     [3.2 0. ]
     [0.  0. ]
     [0.  0. ]]
    """
    return GroupLasso(strength, axis).prox(params, step)
