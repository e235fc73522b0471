"""The projections on the constraints, as pure functions of a tree of params.

Each is its class with the numbers filled in: `project_l2_ball(params, 1.0)` is `L2Ball(1.0).prox(params)`.
"""

from typing import TypeVar

from penalties._family.constraints import Box, L1Ball, LInfBall, NonNegative, Simplex
from penalties._family.matrix_sets import PSD, Orthonormal
from penalties._family.patterns import GloballySparse, NOfM, Sparse
from penalties._family.unit_norms import L2Ball, MaxNorm, MinMaxNorm, UnitNorm
from penalties._penalty.strengths import Strength

T = TypeVar("T")


def project_box(params: T, lower: Strength, upper: Strength) -> T:
    """w clipped to [lower, upper], for each weight: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_box
    >>> project_box(jnp.array([-3.0, 0.25]), -1.0, 1.0).tolist()
    [-1.0, 0.25]
    """
    return Box(lower, upper).prox(params)


def project_globally_sparse(params: T, count: int) -> T:
    """The `count` largest weights of all leaves together, and zeros: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_globally_sparse
    >>> [w.tolist() for w in project_globally_sparse([jnp.array([0.5, -3.0]), jnp.array([1.0, 0.25])], 2)]
    [[0.0, -3.0], [1.0, 0.0]]
    """
    return GloballySparse(count).prox(params)


def project_l1_ball(params: T, radius: Strength) -> T:
    """The nearest leaf with Σ|w| ≤ radius, for each leaf: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_l1_ball
    >>> project_l1_ball(jnp.array([-3.0, 2.5, 0.25]), 1.0).tolist()
    [-0.75, 0.25, 0.0]
    """
    return L1Ball(radius).prox(params)


def project_l2_ball(params: T, radius: Strength) -> T:
    """w·min(1, radius/‖w‖₂), for each leaf: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_l2_ball
    >>> project_l2_ball(jnp.array([3.0, 4.0]), 2.5).tolist()
    [1.5, 2.0]
    """
    return L2Ball(radius).prox(params)


def project_l_inf_ball(params: T, radius: Strength) -> T:
    """w·min(1, radius/|w|), for each weight: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_l_inf_ball
    >>> project_l_inf_ball(jnp.array([-3.0, 0.25]), 1.0).tolist()
    [-1.0, 0.25]
    """
    return LInfBall(radius).prox(params)


def project_max_norm(params: T, radius: Strength, *, axis: int | tuple[int, ...] = -1) -> T:
    """w_u·min(1, radius/‖w_u‖₂), for each unit along `axis`: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_max_norm
    >>> project_max_norm(jnp.array([[3.0, 0.5], [4.0, 0.0]]), 2.5).tolist()
    [[1.5, 0.5], [2.0, 0.0]]
    """
    return MaxNorm(radius, axis).prox(params)


def project_min_max_norm(
    params: T, lower: Strength, upper: Strength, *, axis: int | tuple[int, ...] = -1
) -> T:
    """The nearest units with lower ≤ ‖w_u‖₂ ≤ upper, for each unit along `axis`: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_min_max_norm
    >>> project_min_max_norm(jnp.array([[3.0, 0.5], [4.0, 0.0]]), 1.0, 2.5).tolist()
    [[1.5, 1.0], [2.0, 0.0]]
    """
    return MinMaxNorm(lower, upper, axis).prox(params)


def project_n_of_m(params: T, n: int, m: int, *, axis: int = -1) -> T:
    """The n largest of each m consecutive weights along `axis`, and zeros: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_n_of_m
    >>> project_n_of_m(jnp.array([0.5, -3.0, 1.0, 0.25]), 2, 4).tolist()
    [0.0, -3.0, 1.0, 0.0]
    """
    return NOfM(n, m, axis).prox(params)


def project_non_negative(params: T) -> T:
    """max(w, 0), for each weight: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_non_negative
    >>> project_non_negative(jnp.array([1.5, -0.5])).tolist()
    [1.5, 0.0]
    """
    return NonNegative().prox(params)


def project_orthonormal(params: T, *, axis: int = -1) -> T:
    """The polar factor UVᴴ of each leaf USVᴴ, whose columns are counted along `axis`: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_orthonormal
    >>> project_orthonormal(jnp.array([[3.0, 0.0], [0.0, 0.5]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return Orthonormal(axis).prox(params)


def project_psd(params: T) -> T:
    """The symmetric part of each leaf, a square matrix, without its negative eigenvalues: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_psd
    >>> project_psd(jnp.array([[2.0, 0.0], [0.0, -1.0]])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    return PSD().prox(params)


def project_simplex(params: T, total: Strength = 1.0) -> T:
    """The nearest leaf with w ≥ 0 and Σw = total, for each leaf: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_simplex
    >>> project_simplex(jnp.array([2.0, 1.5, -1.0])).tolist()
    [0.75, 0.25, 0.0]
    """
    return Simplex(total).prox(params)


def project_sparse(params: T, count: int) -> T:
    """The `count` largest weights of each leaf, and zeros: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_sparse
    >>> project_sparse(jnp.array([0.5, -3.0, 1.0, 0.25]), 2).tolist()
    [0.0, -3.0, 1.0, 0.0]
    """
    return Sparse(count).prox(params)


def project_unit_norm(params: T, *, axis: int | tuple[int, ...] = -1) -> T:
    """w_u/‖w_u‖₂, for each unit along `axis`: a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import project_unit_norm
    >>> project_unit_norm(jnp.array([[0.0, 0.5], [4.0, 0.0]])).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return UnitNorm(axis).prox(params)
