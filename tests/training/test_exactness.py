"""penalized reaches the exact solution, zeros included, with every optimizer (full gradients)."""

import functools

import jax
import numpy as np
import optax
import pytest

from penalties import keep_zeros, penalized

import problems
from problems import OPTIMIZERS, STEPS, lenient, train

FAMILIES = {
    "least squares, n > p": lambda: problems.least_squares(100, 60),
    "least squares, p > n": lambda: problems.least_squares(60, 100),
    "groups, n > p": lambda: problems.grouped(200, 5, 20),
    "groups, p > n": lambda: problems.grouped(60, 5, 20),
    "logistic, n > p": lambda: problems.logistic(200, 30),
    "logistic, p > n": lambda: problems.logistic(60, 80),
    "softmax, n > p": lambda: problems.softmax(200, 20, 3),
    "softmax, p > n": lambda: problems.softmax(50, 60, 3),
}

# DoG never decays its rate, and does not converge on this one.
NOT_CONVERGING = {("dog", "groups, p > n")}


@functools.cache
def family(name):
    return FAMILIES[name]()


# One optimizer on every problem, and every one on one problem; in `.ci/run` three on every problem, and
# every one on three.
ON_ALL = {"momentum", "adam", "lion"}
FOR_ALL, MORE = "least squares, n > p", {"groups, p > n", "logistic, p > n"}
FAST = {FOR_ALL, "groups, p > n"}
PAIRS = [
    pytest.param(optimizer, name, marks=[] if optimizer in ON_ALL and name in FAST else pytest.mark.slow)
    for optimizer in OPTIMIZERS
    for name in FAMILIES
    if (optimizer in ON_ALL or name in {FOR_ALL} | MORE) and (optimizer, name) not in NOT_CONVERGING
]


def same_support(found, solution):
    return (found == 0) == (solution == 0)


@pytest.mark.parametrize(("optimizer", "name"), PAIRS)
def test_every_optimizer_reaches_the_solution_weight_for_weight(optimizer, name, x64):
    problem = family(name)
    found = train(problem, OPTIMIZERS[optimizer](problem.rate))
    assert np.all(problem.gap(found) <= 1e-9)
    assert np.all(same_support(found, problem.solutions))


def test_the_oracles_have_zeros_and_nonzeros(x64):
    for name in FAMILIES:
        zeros = np.mean(family(name).solutions == 0)
        assert 0.2 < zeros < 0.97, name


@pytest.mark.parametrize(
    "optimizer", [pytest.param(o, marks=[] if o in ON_ALL else pytest.mark.slow) for o in OPTIMIZERS]
)
def test_float32_reaches_the_objective_to_1e_6(optimizer):
    with jax.enable_x64(True):
        problem = family(FOR_ALL)
    found = train(problem, OPTIMIZERS[optimizer](problem.rate))
    assert found.dtype == np.float32
    with jax.enable_x64(True):
        assert np.all(problem.gap(found.astype(np.float64)) <= 1e-6)


def run_lasso(optimizer, problem, steps, **extra):
    """One lasso of the family, step by step: the params and the final state."""
    x, y = (a[0] for a in problem.data)
    penalty = problem.penalty(jax.tree.map(lambda s: s[0], problem.strengths))
    tx = optimizer(penalty)

    def loss(w):
        return problem.loss(w, (x, y))

    def step(carry, _):
        w, state = carry
        value, grads = jax.value_and_grad(loss)(w)
        given = {"value": value, "grad": grads, "value_fn": loss} if extra.get("line_search") else {}
        updates, state = tx.update(grads, state, w, **given)
        return (optax.apply_updates(w, updates), state), None

    w = jax.numpy.zeros(problem.solutions.shape[1:])
    return jax.jit(lambda w, state: jax.lax.scan(step, (w, state), length=steps)[0])(w, tx.init(w))


def test_lbfgs_with_its_line_search_is_owl_qn(x64):
    problem = family(FOR_ALL)
    w, _ = run_lasso(lambda p: penalized(lenient(optax.lbfgs()), p), problem, 300, line_search=True)
    w = np.stack([w, *problem.solutions[1:]])
    assert problem.gap(w)[0] <= 1e-9
    assert np.all(same_support(w, problem.solutions))


def test_schedule_free_keeps_the_zeros_of_its_iterate(x64):
    problem = family(FOR_ALL)
    inner = optax.contrib.schedule_free(optax.sgd(0.03), 0.03, b1=0.9)
    w, state = run_lasso(lambda p: penalized(lenient(inner), p), problem, 3 * STEPS)
    averaged = optax.contrib.schedule_free_eval_params(state.inner_state, w)
    kept = keep_zeros(averaged, w)
    solution = problem.solutions[0]
    assert np.all(same_support(w, solution))
    assert np.all(same_support(kept, solution))
    assert problem.gap(np.stack([kept, *problem.solutions[1:]]))[0] <= 1e-9


def test_lookahead_around_penalized_keeps_the_zeros_of_its_fast_params(x64):
    problem = family(FOR_ALL)
    x, y = (a[0] for a in problem.data)
    penalty = problem.penalty(jax.tree.map(lambda s: s[0], problem.strengths))
    inner = penalized(lenient(OPTIMIZERS["adam"](0.0)), penalty)
    tx = lenient(optax.lookahead(inner, sync_period=5, slow_step_size=0.5))

    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda w: problem.loss(w, (x, y)))(params.fast)
        updates, state = tx.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = optax.LookaheadParams.init_synced(jax.numpy.zeros(60))
    (params, _), _ = jax.jit(lambda p, s: jax.lax.scan(step, (p, s), length=STEPS + 3))(
        params, tx.init(params)
    )
    kept = keep_zeros(params.slow, params.fast)
    assert np.all(same_support(kept, problem.solutions[0]))
    assert problem.gap(np.stack([kept, *problem.solutions[1:]]))[0] <= 1e-9
