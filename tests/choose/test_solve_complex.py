"""Hypergradients through `solve` for complex weights, alone and beside real ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import L1, L2, GroupLasso, solve

A = np.array([[1 + 1j, 2.0, 0.5j], [0, 1, 1j], [1j, 1, 2.0], [1, 1, 1j]])
B = np.array([1 + 1j, 2.0, 3j, 1.0])


def loss(params):
    return jnp.sum(jnp.abs(A @ params["w"] + params["bias"].astype(A.dtype) - B) ** 2) / 2


@pytest.mark.parametrize("make", [L1, L2, lambda s: GroupLasso(s, axis=())], ids=["L1", "L2", "GroupLasso"])
def test_they_are_those_of_finite_differences(make, x64):
    start = {"w": jnp.zeros(3, complex), "bias": jnp.zeros(1)}

    def objective(strength):
        params = solve(loss, make(strength).on("w"), start, tol=1e-12).params
        return jnp.sum(jnp.abs(params["w"]) ** 2) + params["bias"][0]

    step = 1e-5
    expected = (objective(0.3 + step) - objective(0.3 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(objective)(0.3), expected, rtol=1e-5)
    _, forward = jax.jvp(objective, (0.3,), (1.0,))
    np.testing.assert_allclose(forward, expected, rtol=1e-5)
