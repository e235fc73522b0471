"""The gradient where a path of a convex problem begins: all penalized weights zero, the others fitted."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.descent import descend, first_step
from penalties._choose.keyed import Keyed
from penalties._choose.problem import Problem, Weights, check_penalty, norm, refuse_objects
from penalties._penalty.base import Penalty


def grads_at_zero(loss: Callable[..., Any], penalty: Penalty, params: Any, *data: Any) -> Any:
    """∇loss where all penalized weights are zero and the others, such as an intercept, minimize the loss.

    What `strength_max` asks for, where the loss is convex. For a network pass the gradient at the initial
    params: to a network without weights zero is always a solution.

    Args:
        loss: `loss(params, *data)` → a real scalar, smooth, and without the penalty.
        penalty: R; only which leaves it selects matters.
        params: any pytree of arrays, for its structure; where the fit of the other leaves begins.
        *data: what the loss is given after the params.

    Returns:
        A tree like params. It may be called inside jit and vmap.

    Raises:
        TypeError: the loss returns no real scalar; params hold more than arrays.
        ValueError: a selection matches nothing.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, grads_at_zero, strength_max
    >>> def loss(params, x, y):
    ...     return jnp.mean((x @ params["w"] + params["b"] - y) ** 2) / 2
    >>> x, y = jnp.array([[1.0, 0.0], [-1.0, 1.0]]), jnp.array([3.0, 1.0])
    >>> penalty, params = L1(1.0).on("w"), {"w": jnp.zeros(2), "b": jnp.zeros(())}
    >>> grads = grads_at_zero(loss, penalty, params, x, y)  # with b = 2
    >>> float(strength_max(penalty, grads))
    1.0
    """
    check_penalty(penalty)
    refuse_objects(params, "grads_at_zero")
    return _grads_at_zero(Keyed(loss), penalty, params, data)


@functools.partial(jax.jit, static_argnums=0)
def _grads_at_zero(loss: Callable[..., Any], penalty: Penalty, params: Any, data: tuple[Any, ...]) -> Any:
    problem = Problem(loss, penalty, params, data)
    penalized = problem.penalized()

    def joined(others: Weights) -> Weights:
        left = iter(others)
        pairs = zip(problem.weights, penalized, strict=True)
        return [jnp.zeros_like(w) if is_zero else next(left) for w, is_zero in pairs]

    others = [w for w, is_zero in zip(problem.weights, penalized, strict=True) if not is_zero]
    if others:
        others = _fitted(lambda others: problem.value(joined(others)), others)
    return problem.params(problem.gradient(joined(others)))


def _fitted(loss: Callable[[Weights], Array], weights: Weights) -> Weights:
    problem = Problem(loss, None, weights, ())
    gradient = norm(problem.gradient([jnp.zeros_like(w) for w in weights]))
    threshold = 10 * jnp.finfo(problem.dtype).eps * gradient
    start, most = problem.weights, jnp.asarray(1_000, jnp.int32)
    return descend(problem, None, start, first_step(problem, start), threshold, most).weights
