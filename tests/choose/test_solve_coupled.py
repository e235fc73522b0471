"""`solve` and `fit_path` where units span leaves."""

import jax.numpy as jnp
import numpy as np
import pytest

from penalties import L1, Coupled, GroupLasso, couplings, fit_path, solve

X = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3)), jnp.float32)
PARAMS = {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4), "out": jnp.ones((4, 1))}
TARGET = X @ jnp.asarray([[2.0, 0, 0.1, 0], [1.0, 0, 0, 0], [0, 0, 0.1, 0]]) + jnp.asarray([[1.0, 0, 0, 0]])


def network(params, x):
    return jnp.tanh(x @ params["kernel"] + params["bias"][None]) @ params["out"]


def loss(params):
    outputs = X @ params["kernel"] + params["bias"][None]
    return jnp.mean((outputs - TARGET) ** 2) + jnp.mean(params["out"] ** 2)


UNITS = couplings(network, PARAMS, X)


@pytest.mark.slow
def test_units_leave_together_and_a_kernel_alone_is_the_group_lasso():
    solution = solve(loss, Coupled(L1(0.5), UNITS), PARAMS)
    dead = np.all(np.asarray(solution.params["kernel"]) == 0, 0)
    np.testing.assert_array_equal(dead, [False, True, True, True])
    np.testing.assert_array_equal(np.asarray(solution.params["bias"]) == 0, dead)
    assert bool(solution.converged)
    alone = Coupled(L1(0.5), UNITS).on("kernel")
    ours, plain = (solve(loss, p, PARAMS).params for p in (alone, GroupLasso(0.5).on("kernel")))
    for name in PARAMS:
        np.testing.assert_allclose(ours[name], plain[name], atol=1e-5)


@pytest.mark.slow
def test_a_path_over_units():
    def train(penalty, params):
        return solve(loss, penalty, params).params

    path = fit_path(train, Coupled(L1(1.0), UNITS), [2.0, 0.5, 0.1], PARAMS, loss=loss, progress=False)
    assert float(path.optimality.max()) < 1e-3
    assert path[0].share > path[2].share
