"""solve: the params that minimize a smooth loss plus a penalty."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from penalties._choose.descent import descend, first_step
from penalties._choose.keyed import Keyed
from penalties._choose.problem import Problem, Weights, check_penalty, minus, norm, refuse_objects
from penalties._choose.quadratic import quadratic_of
from penalties._penalty.base import Penalty


class Solution(NamedTuple):
    """What `solve` returns.

    Attributes:
        params: the solution, a tree like the params given.
        optimality: ‖d‖₂ of the least d in ∇loss + ∂R there: 0 at a solution.
        iterations: how many steps were made, int32.
        converged: whether the optimality is as small as was asked for.
    """

    params: Any
    optimality: Array
    iterations: Array
    converged: Array


def solve(
    loss: Callable[..., Any],
    penalty: Penalty,
    params: Any,
    *data: Any,
    tol: float = 1e-5,
    max_iterations: int = 10_000,
) -> Solution:
    """argmin loss(params, *data) + R(params), for a smooth convex loss, to a given optimality.

    Accelerated proximal gradient descent, with backtracking, and restarts where the momentum goes uphill. It
    ends when ‖d‖ ≤ tol·‖∇loss(0)‖, where d is the least element of ∇loss + ∂R at the params; that is looked
    at every 10 steps. (Where that is 0 or not finite, the gradient at the params given takes its place.)

    Where the loss is quadratic in the params, and they are not more than the data, each step is one product
    with its matrix of second derivatives.

    It goes the slower the more the columns of the data differ in scale, or are far from 0: standardize them.
    For networks use `penalized`: there mini-batches go a longer way. For one lasso or one logistic regression
    on data that fits in memory, skglm, celer and scikit-learn are faster; this one takes any loss and any
    penalty with a prox, many at once, and is differentiated.

    Args:
        loss: `loss(params, *data)` → a real scalar, smooth, and without the penalty. It is compiled once for
            each function, and anew when that refers to other objects or numbers, such as data that it closes
            over: give the data here if it changes. What is changed in place is not seen, as under `jax.jit`.
        penalty: R, with a prox.
        params: where to begin: any pytree of arrays, of float32 or float64; half precision seldom gets so
            far. Those of a weaker or stronger penalty are a warm start.
        *data: what the loss is given after the params.
        tol: of the optimality, relative to the gradient of the loss at 0.
        max_iterations: when to give up, a multiple of 10.

    Returns:
        A `Solution`. It may be called inside jit, and under vmap over strengths, data and params. Its params
        may be differentiated, in both modes, with respect to the strengths, the data and all else that loss
        and penalty depend on, by the implicit function theorem; not with respect to where it began.

    Raises:
        TypeError: the penalty has no prox; the loss returns no real scalar; params hold more than arrays.
        ValueError: tol or max_iterations are out of range.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import L1, solve
    >>> def loss(w, y):
    ...     return jnp.sum((w - y) ** 2) / 2
    >>> y = jnp.array([3.0, 0.5])
    >>> solution = solve(loss, L1(1.0), jnp.zeros(2), y)
    >>> solution.params.tolist(), bool(solution.converged)
    ([2.0, 0.0], True)
    >>> float(jax.grad(lambda strength: solve(loss, L1(strength), jnp.zeros(2), y).params[0])(1.0))
    -1.0

    Source: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sci. 2
    (2009); O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 15
    (2015); the derivative, Bertrand et al., Implicit differentiation for fast hyperparameter selection in
    non-smooth convex learning, JMLR 23 (2022).
    """
    check_limits(tol, max_iterations)
    check_penalty(penalty)
    refuse_objects(params, "solve")
    return _solve(Keyed(loss), penalty, params, data, tol, max_iterations)


def check_limits(tol: Any, max_iterations: Any) -> None:
    """Raises ValueError or TypeError for what no descent can be held to."""
    if not isinstance(tol, Tracer):
        if isinstance(tol, bool) or not isinstance(tol, (int, float, np.generic, np.ndarray, jax.Array)):
            raise TypeError(f"tol is {tol!r} of type {type(tol).__name__}: expected a number > 0")
        if jnp.ndim(tol):
            raise ValueError(f"tol has the shape {jnp.shape(tol)}: expected one number > 0")
        if not 0 < float(tol) < math.inf:
            raise ValueError(f"tol is {tol}: expected a finite number > 0")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, (int, np.integer)):
        raise TypeError(
            f"max_iterations is {max_iterations!r} of type {type(max_iterations).__name__}: expected an int"
        )
    if not 1 <= max_iterations < 2**31 - 16:
        raise ValueError(f"max_iterations is {max_iterations}: expected an int between 1 and 2³¹ − 17")


@functools.partial(jax.jit, static_argnums=0)
def _solve(
    loss: Callable[..., Any],
    penalty: Penalty | None,
    params: Any,
    data: tuple[Any, ...],
    tol: Any,
    max_iterations: Any,
) -> Solution:
    problem = Problem(loss, penalty, params, data)
    # The derivative goes round the descent.
    start = jax.lax.stop_gradient(problem.weights)
    quadratic = quadratic_of(problem)
    step = jax.lax.stop_gradient(first_step(problem, start) if quadratic is None else quadratic.step)
    threshold = jax.lax.stop_gradient(jnp.asarray(tol, problem.dtype) * _scale(problem, start))

    def fixed_point(weights: Weights) -> Weights:
        return minus(weights, problem.forward_backward(weights, problem.gradient(weights), step))

    def run(_: Any, weights: Weights) -> tuple[Weights, tuple[Array, Array]]:
        most = jnp.asarray(max_iterations, jnp.int32)
        end = descend(problem, quadratic, weights, step, threshold, most)
        # As a float: custom_root has no derivative for integers, not even 0.
        return end.weights, (end.optimality, end.iterations.astype(jnp.float32))

    weights, (optimality, iterations) = jax.lax.custom_root(
        fixed_point, start, run, _solve_linear, has_aux=True
    )
    return Solution(
        problem.params(weights), optimality, iterations.astype(jnp.int32), optimality <= threshold
    )


def _scale(problem: Problem, start: Weights) -> Array:
    at_zero = norm(problem.gradient([jnp.zeros_like(w) for w in start]))
    return jnp.where(jnp.isfinite(at_zero) & (at_zero > 0), at_zero, norm(problem.gradient(start)))


# Up to so many weights the matrix of the implicit function theorem is written out.
_DENSE = 1_000


def _solve_linear(linear: Callable[[Weights], Weights], right: Weights) -> Weights:
    """The solution of linear(x) = right."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        # One vector: reverse mode cannot transpose a tree of which some leaves have no tangent. And
        # real: of complex weights a modulus has a derivative that is linear over the real numbers only.
        flat, unflatten = jax.flatten_util.ravel_pytree(_real(right))

        def matrix(x: Array) -> Array:
            return jax.flatten_util.ravel_pytree(_real(linear(_complex(unflatten(x)))))[0]

        method = _direct if flat.size <= _DENSE else _iterative
        solution = jax.lax.custom_linear_solve(matrix, flat, solve=method, transpose_solve=method)
        return _complex(unflatten(solution))


def _real(weights: Weights) -> list[Any]:
    return [(jnp.real(w), jnp.imag(w)) if jnp.iscomplexobj(w) else w for w in weights]


def _complex(parts: list[Any]) -> Weights:
    return [jax.lax.complex(*part) if isinstance(part, tuple) else part for part in parts]


def _direct(matrix: Callable[[Array], Array], right: Array) -> Array:
    columns = jax.vmap(matrix, out_axes=1)(jnp.eye(right.size, dtype=right.dtype))
    return jnp.linalg.solve(columns, right)


def _iterative(matrix: Callable[[Array], Array], right: Array) -> Array:
    tol = 10 * float(jnp.finfo(right.dtype).eps)
    return jax.scipy.sparse.linalg.bicgstab(matrix, right, tol=tol, maxiter=10 * right.size)[0]
