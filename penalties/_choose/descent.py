"""Accelerated proximal gradient descent with restart and backtracking."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.problem import Problem, Weights, along, dot, minus, norm
from penalties._choose.quadratic import Quadratic

# How many steps are made between two looks at the optimality, which costs a gradient.
BLOCK = 10
_SHRINK = 0.7  # of a step that was too long


class Descent(NamedTuple):
    """Where the descent is."""

    weights: Weights
    ahead: Weights  # where the gradient is taken: the momentum is in it
    momentum: Array
    step: Array
    iterations: Array
    optimality: Array


def descend(
    problem: Problem,
    quadratic: Quadratic | None,
    start: Weights,
    step: Array,
    threshold: Array,
    max_iterations: Array,
) -> Descent:
    """From `start`, until the optimality is at most the threshold, or not a number."""
    gradient_of = problem.gradient if quadratic is None else quadratic.gradient

    def going_on(state: Descent) -> Array:
        # A strength that is not a number is to be seen in the params: hence a first block.
        hopeful = ~jnp.isnan(state.optimality) | (state.iterations == 0)
        return ~(state.optimality <= threshold) & hopeful & (state.iterations < max_iterations)

    def block(state: Descent) -> Descent:
        state = jax.lax.fori_loop(0, BLOCK, lambda _, s: advance(s), state)
        gradient = gradient_of(state.weights)
        return state._replace(optimality=problem.optimality(state.weights, gradient, state.step))

    def advance(state: Descent) -> Descent:
        if quadratic is None:
            return _moved(state, *_searched(problem, state))
        gradient = quadratic.gradient(state.ahead)
        new = problem.forward_backward(state.ahead, gradient, state.step)
        return _moved(state, new, state.step, jnp.asarray(False))

    optimality = problem.optimality(start, gradient_of(start), step)
    one = jnp.ones((), problem.dtype)
    return jax.lax.while_loop(
        going_on, block, Descent(start, start, one, step, jnp.zeros((), jnp.int32), optimality)
    )


def _searched(problem: Problem, state: Descent) -> tuple[Weights, Array, Array]:
    """The next weights, by a step that is short enough; the step; whether rounding let that be tested."""
    value, gradient = problem.value_and_gradient(state.ahead)
    # What the rounding of the two values may hide.
    slack = 10 * jnp.finfo(problem.dtype).eps * jnp.abs(value)

    def too_long(step_and_new: tuple[Array, Weights]) -> Array:
        step, new = step_and_new
        moved = minus(new, state.ahead)
        model = value + dot(gradient, moved) + dot(moved, moved) / (2 * step)
        fits = problem.value(new) <= model + slack
        return ~fits & jnp.isfinite(value) & (step > jnp.finfo(problem.dtype).tiny)

    def shorten(step_and_new: tuple[Array, Weights]) -> tuple[Array, Weights]:
        step = _SHRINK * step_and_new[0]
        return step, problem.forward_backward(state.ahead, gradient, step)

    first = problem.forward_backward(state.ahead, gradient, state.step)
    step, new = jax.lax.while_loop(too_long, shorten, (state.step, first))
    moved = minus(new, state.ahead)
    return new, step, dot(moved, moved) / (2 * step) > 10 * slack


def _moved(state: Descent, new: Weights, step: Array, tested: Array) -> Descent:
    moved = minus(new, state.weights)
    restart = dot(minus(state.ahead, new), moved) > 0
    momentum = jnp.where(restart, 1, state.momentum)
    following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
    weight = jnp.where(restart, 0, (momentum - 1) / following)
    return state._replace(
        weights=new,
        ahead=along(new, weight, moved),
        momentum=following,
        # A longer step is tried only while the test would see that it is too long.
        step=jnp.where(restart & tested, step / _SHRINK, step),
        iterations=state.iterations + 1,
    )


def first_step(problem: Problem, weights: Weights) -> Array:
    """About 1/L, L the largest curvature of the loss at these weights, by power iteration on gradients."""
    gradient = problem.gradient(weights)
    reach = 0.01 * (1 + norm(weights))

    def iterate(_: Any, carry: tuple[Weights, Array]) -> tuple[Weights, Array]:
        direction, _ = carry
        scaled = along([jnp.zeros_like(d) for d in direction], 1 / norm(direction), direction)
        change = minus(problem.gradient(along(weights, reach, scaled)), gradient)
        return change, norm(change) / reach

    # Any direction will do that is not an eigenvector; numbers from jax.random compile long.
    start = [
        jnp.cos(jnp.arange(w.size, dtype=problem.dtype)).reshape(w.shape).astype(w.dtype) for w in weights
    ]
    curvature = jax.lax.fori_loop(0, 10, iterate, (start, jnp.zeros((), problem.dtype)))[1]
    usable = (curvature > 0) & jnp.isfinite(1 / curvature)
    return jnp.where(usable, 1 / jnp.where(usable, curvature, 1), 1)
