"""The penalties of groups, and their proxes, as pure functions of a tree of params.

Each is its class with the strengths filled in. `axis`, `groups` and `weights` are those of the class.
"""

from typing import Any, TypeVar

from jax import Array

from penalties._family.groups import GroupLasso
from penalties._family.mixed_norms import ExclusiveLasso, GroupLInf
from penalties._penalty.partitions import Partition
from penalties._penalty.strengths import Strength

T = TypeVar("T")


def group_lasso(
    params: Any,
    strength: Strength,
    *,
    axis: int | tuple[int, ...] = -1,
    groups: Partition | None = None,
    weights: Any = "sqrt",
) -> Array:
    """strength · Σ_g √|g|·‖w_g‖₂, one group per index along `axis`: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import group_lasso
    >>> round(float(group_lasso(jnp.array([[3.0, 0.5], [4.0, 0.0]]), 1.0)), 4)  # √2 · (5 + 0.5)
    7.7782
    """
    return GroupLasso(strength, axis, groups=groups, weights=weights)(params)


def prox_group_lasso(
    params: T,
    strength: Strength,
    *,
    axis: int | tuple[int, ...] = -1,
    groups: Partition | None = None,
    weights: Any = "sqrt",
    step: Any = 1.0,
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
    return GroupLasso(strength, axis, groups=groups, weights=weights).prox(params, step)


def group_l_inf(
    params: Any,
    strength: Strength,
    *,
    axis: int | tuple[int, ...] = -1,
    groups: Partition | None = None,
    weights: Any = "size",
) -> Array:
    """strength · Σ_g |g|·max|w_g|, one group per index along `axis`: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import group_l_inf
    >>> float(group_l_inf(jnp.array([[3.0, 0.5], [-2.5, 0.25]]), 0.5))
    3.5
    """
    return GroupLInf(strength, axis, groups=groups, weights=weights)(params)


def prox_group_l_inf(
    params: T,
    strength: Strength,
    *,
    axis: int | tuple[int, ...] = -1,
    groups: Partition | None = None,
    weights: Any = "size",
    step: Any = 1.0,
) -> T:
    """Each group cut off at the level at which step·strength·|g| is cut off in all, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_group_l_inf
    >>> print(prox_group_l_inf(jnp.array([[3.0, 0.5], [-2.5, 0.25]]), 0.5))
    [[ 2.25  0.  ]
     [-2.25  0.  ]]
    """
    return GroupLInf(strength, axis, groups=groups, weights=weights).prox(params, step)


def exclusive_lasso(
    params: Any,
    strength: Strength,
    *,
    axis: int | tuple[int, ...] = -1,
    groups: Partition | None = None,
    weights: Any = 1.0,
) -> Array:
    """strength · Σ_g ‖w_g‖₁² (no ½), one group per index along `axis`: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import exclusive_lasso
    >>> float(exclusive_lasso(jnp.array([[3.0, 0.5], [-1.0, 0.0]]), 0.25))
    4.0625
    """
    return ExclusiveLasso(strength, axis, groups=groups, weights=weights)(params)


def prox_exclusive_lasso(
    params: T,
    strength: Strength,
    *,
    axis: int | tuple[int, ...] = -1,
    groups: Partition | None = None,
    weights: Any = 1.0,
    step: Any = 1.0,
) -> T:
    """Soft thresholding of each group by 2·step·strength·‖z_g‖₁, z_g what it leaves, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_exclusive_lasso
    >>> print(prox_exclusive_lasso(jnp.array([[3.0, 0.5], [-1.0, 0.0]]), 0.25, step=2.0).round(4))
    [[1.5  0.25]
     [0.   0.  ]]
    """
    return ExclusiveLasso(strength, axis, groups=groups, weights=weights).prox(params, step)
