"""Losses that are quadratic in the weights, as one matrix: each step then costs no pass over the data."""

import math

import jax
import jax.flatten_util
import jax.numpy as jnp
from jax import Array
from jax.interpreters.partial_eval import dce_jaxpr

from penalties._choose.problem import Problem, Weights
from penalties._family.decompositions import eigenvalues


class Quadratic:
    """The loss ½·wᵀHw + bᵀw, up to a constant, and the longest safe step, 1 / the largest eigenvalue of H."""

    def __init__(self, hessian: Array, at_zero: Array, example: Weights):
        self._hessian, self._at_zero = hessian, at_zero
        self._unflatten = jax.flatten_util.ravel_pytree(example)[1]
        largest = eigenvalues(hessian)[-1]
        self.step = jnp.where(largest > 0, 1 / jnp.where(largest > 0, 1.0001 * largest, 1), 1)

    def gradient(self, weights: Weights) -> Weights:
        """Hw + b."""
        flat = jax.flatten_util.ravel_pytree(weights)[0]
        return self._unflatten(jnp.matmul(self._hessian, flat, precision="highest") + self._at_zero)


def quadratic_of(problem: Problem) -> Quadratic | None:
    """The loss as a matrix, if it is quadratic, and if the matrix is no larger than the data.

    It is, if the derivative of its gradient in a direction does not depend on the weights: that is read from
    the program, and not tried out.
    """
    weights = problem.weights
    dtypes = {w.dtype for w in weights}
    if dtypes not in ({jnp.dtype("float32")}, {jnp.dtype("float64")}):
        return None
    flat, unflatten = jax.flatten_util.ravel_pytree(weights)
    if not flat.size:
        return None

    def gradient(w: Array) -> Array:
        return jax.flatten_util.ravel_pytree(problem.gradient(unflatten(w)))[0]

    def product(w: Array, direction: Array) -> Array:
        return jax.jvp(gradient, (w,), (direction,))[1]

    program = jax.make_jaxpr(product)(flat, flat)
    if flat.size**2 > sum(math.prod(jnp.shape(constant)) for constant in program.consts):
        return None
    if dce_jaxpr(program.jaxpr, [True])[1][0]:
        return None
    zero = jnp.zeros_like(flat)
    try:
        hessian = jax.vmap(lambda direction: product(zero, direction))(jnp.eye(flat.size, dtype=flat.dtype))
    except TypeError:
        return None  # a derivative of its own (`jax.custom_vjp`) may have none in turn
    return Quadratic(*jax.lax.stop_gradient((hessian, gradient(zero))), weights)
