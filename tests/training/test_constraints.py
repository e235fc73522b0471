"""Training under constraints: projections at the end of a chain, alone and beside penalties."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import Lasso

from penalties import (
    L1,
    L2,
    MCP,
    Box,
    ElasticNet,
    GroupLasso,
    Huber,
    L1Ball,
    L2Ball,
    LInfBall,
    MaxNorm,
    NonNegative,
    Orthonormal,
    Simplex,
    Sparse,
    UnitNorm,
    add_penalty,
    optimality,
    penalized,
    proximal,
    sparsity,
)

from problems import lenient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8))
Y = X @ np.array([2.0, -1.5, 1.0, 0.0, 0.0, 0.5, 0.0, -0.5]) + RNG.normal(size=40)


def loss(w):
    return jnp.mean((jnp.asarray(X, w.dtype) @ w - jnp.asarray(Y, w.dtype)) ** 2)


def train(optimizer, w, steps=2000):
    optimizer = lenient(optimizer)

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.grad(loss)(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.jit(lambda w: jax.lax.scan(step, (w, optimizer.init(w)), None, steps)[0][0])(w)


def decaying(rate):
    return optax.cosine_decay_schedule(rate, 2000)


@pytest.mark.parametrize(
    "optimizer", [optax.sgd(0.1), optax.adam(decaying(0.05)), optax.sgd(decaying(0.05), momentum=0.9)]
)
@pytest.mark.usefixtures("x64")
def test_the_lasso_of_weights_that_are_not_negative(optimizer):
    solution = Lasso(alpha=0.15, positive=True, fit_intercept=False, tol=1e-12).fit(X, Y).coef_
    w = train(optax.chain(penalized(optimizer, L1(0.3)), proximal(NonNegative())), jnp.ones(8))
    np.testing.assert_allclose(w, solution, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(w) == 0, solution == 0)  # exactly


@pytest.mark.usefixtures("x64")
def test_projected_gradients_solve_the_lasso_in_its_first_form():
    solution = Lasso(alpha=0.15, fit_intercept=False, tol=1e-12).fit(X, Y).coef_
    w = train(optax.chain(optax.sgd(0.1), proximal(L1Ball(np.abs(solution).sum()))), jnp.ones(8))
    np.testing.assert_allclose(w, solution, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(w) == 0, solution == 0)


@pytest.mark.usefixtures("x64")
def test_a_sum_in_one_proximal_solves_loss_and_penalty_and_constraint():
    solution = Lasso(alpha=0.15, positive=True, fit_intercept=False, tol=1e-12).fit(X, Y).coef_
    w = train(optax.chain(optax.sgd(0.1), proximal(L1(0.3) + NonNegative(), 0.1)), jnp.ones(8))
    np.testing.assert_allclose(w, solution, atol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_projection_after_penalized_keeps_its_zeros(dtype):
    w = train(
        optax.chain(penalized(optax.adam(0.02), L1(0.3)), proximal(NonNegative())), jnp.ones(8, dtype), 400
    )
    assert w.dtype == dtype
    assert NonNegative()(w) == 0
    assert sparsity(w).zeros >= 3


def test_every_step_ends_in_the_set():
    for constraint in (Box(-0.5, 0.5), Simplex(), Sparse(3), UnitNorm(axis=()), L2Ball(0.5)):
        w = train(optax.chain(optax.adam(0.1), proximal(constraint)), jnp.ones(8), 20)
        assert constraint(w) == 0


def test_a_constraint_needs_no_step_size_and_all_else_does():
    for penalty in (L1(0.1), L1(0.1) + NonNegative(), (L2(0.1) + Simplex()).on("**")):
        with pytest.raises(TypeError, match=r"without a step size.*give the learning rate"):
            proximal(penalty)
    with pytest.raises(TypeError, match="without a step size"):
        proximal(lambda step: L1(0.1)).init(jnp.ones(2))
    both = (NonNegative() + MaxNorm(1.0)).on("kernel")
    params = {"kernel": jnp.full((2, 2), -3.0), "bias": jnp.full(2, -3.0)}
    for transform in (proximal(both), proximal(both, 0.1), proximal(lambda step: both)):
        updates, _ = transform.update(jax.tree.map(jnp.ones_like, params), transform.init(params), params)
        moved = optax.apply_updates(params, updates)
        assert moved["kernel"].tolist() == [[0, 0], [0, 0]]
        assert moved["bias"].tolist() == [-2, -2]


def test_a_schedule_of_radii_and_factors_that_change_nothing():
    transform = proximal(lambda step: step * Box(jnp.where(step == 0, -1.0, -0.5), 0.25))
    w, state = jnp.array([-3.0, 3.0]), transform.init(jnp.zeros(2))
    for low in (-1.0, -0.5):
        updates, state = transform.update(jnp.zeros(2), state, w)
        assert optax.apply_updates(w, updates).tolist() == [low, 0.25]


@pytest.mark.parametrize("penalty", [NonNegative(), L1(0.1) + NonNegative(), Simplex().on("**")])
def test_what_needs_a_gradient_refuses_constraints_and_says_what_to_write(penalty):
    with pytest.raises(TypeError, match=r"add_penalty got the constraint .*proximal\(constraint\)"):
        add_penalty(penalty)
    with pytest.raises(TypeError, match=r"add_penalty got the constraint"):
        add_penalty(lambda step: penalty).init({"a": jnp.ones(2)})
    with pytest.raises(TypeError, match=r"optax\.chain\(optimizer, penalties\.proximal\(constraint\)\)"):
        penalized(optax.sgd(0.1), penalty)
    with pytest.raises(TypeError, match=r"optax\.chain\(optimizer, penalties\.proximal\(constraint\)\)"):
        optimality(penalty, {"a": jnp.ones(2)}, {"a": jnp.ones(2)})


# Sums on one leaf: the prox is the minimum, or there is none.

AXIS = np.linspace(-2, 2, 801)
GRID = np.stack(np.meshgrid(AXIS, AXIS), -1).reshape(-1, 2)


def not_negative(z):
    return (z >= 0).all(1)


SUMS = [
    (L1(0.3), NonNegative(), not_negative),
    (Huber(0.5), NonNegative(), not_negative),
    (MCP(0.9, gamma=1.5), NonNegative(), not_negative),
    (ElasticNet(0.3, 0.2), Box(0.2, 0.9), lambda z: ((z >= 0.2) & (z <= 0.9)).all(1)),
    (L1(0.3), LInfBall(0.5), lambda z: (np.abs(z) <= 0.5).all(1)),
    (L2(0.4), Simplex(), lambda z: not_negative(z) & (np.abs(z.sum(1) - 1) < 1e-9)),
    (L2(0.4), L1Ball(1.0), lambda z: np.abs(z).sum(1) <= 1 + 1e-9),
    (
        L1(0.2) + GroupLasso(0.3, axis=()),
        NonNegative() + L2Ball(0.7),
        lambda z: not_negative(z) & ((z**2).sum(1) <= 0.49),
    ),
    (L2(0.0), NonNegative() + L1Ball(1.0), lambda z: not_negative(z) & (z.sum(1) <= 1 + 1e-9)),
    (L2(0.0), NonNegative() + Sparse(1), lambda z: not_negative(z) & ((z != 0).sum(1) <= 1)),
]


@pytest.mark.parametrize(("penalty", "constraint", "holds"), SUMS, ids=[f"{p} + {c}" for p, c, _ in SUMS])
@pytest.mark.usefixtures("x64")
def test_the_prox_of_a_sum_is_found_by_brute_force(penalty, constraint, holds):
    points = np.where(np.abs(GRID) < 1e-9, 0, GRID)
    points = points[holds(points)]
    costs = 0.8 * np.asarray(jax.vmap(penalty)(jnp.asarray(points)))
    for v in ([1.3, -0.4], [0.7, 0.65], [-0.2, -1.1], [1.9, 0.1]):
        z = (penalty + constraint).prox(jnp.asarray(v), 0.8)
        assert constraint(z) == 0
        least = (costs + 0.5 * ((points - v) ** 2).sum(1)).min()
        assert 0.8 * penalty(z) + 0.5 * jnp.sum((z - jnp.asarray(v)) ** 2) <= least + 1e-9


@pytest.mark.parametrize(
    "penalty",
    [
        L1(0.1) + Simplex(),
        L1(0.1) + UnitNorm(),
        NonNegative() + Simplex(),
        NonNegative() + Box(-2.0, -1.0),
        Box(-1.0, 1.0) + LInfBall(0.5),
        GroupLasso(0.1) + Box(-1.0, 1.0),
        GroupLasso(0.1, axis=0) + MaxNorm(1.0),
        MaxNorm(1.0) + L2Ball(2.0),
        MCP(0.1) + Box(-1.0, 1.0),
        Orthonormal() + NonNegative(),
    ],
    ids=repr,
)
def test_sums_without_a_prox_in_closed_form_say_so(penalty):
    with pytest.raises(TypeError, match=r"has no prox in closed form: .* `proximal\(constraint\)`"):
        penalty.prox(jnp.ones((2, 2)))


def test_a_strength_for_each_weight_beside_a_ball_is_refused():
    with pytest.raises(ValueError, match=r"a strength beside L2Ball.* varies"):
        (L2(jnp.array([0.1, 0.2])) + L2Ball(1.0)).prox(jnp.ones(2))
    assert (L2(jnp.array([0.5, 1.0])) + NonNegative()).prox(jnp.ones(2)).tolist() == [
        0.5,
        pytest.approx(1 / 3),
    ]
