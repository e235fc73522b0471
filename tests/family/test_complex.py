"""Second derivatives of penalties of complex weights, in their real and imaginary parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    SCAD,
    ElasticNet,
    ExclusiveLasso,
    GroupLasso,
    Huber,
    LHalf,
    LogSum,
    SmoothPenalty,
)

PENALTIES = [
    L1(1.0),
    L2(0.5),
    ElasticNet(1.0, 0.5),
    MCP(1.0, gamma=20.0),
    SCAD(1.0, a=9.0),
    LogSum(0.5, epsilon=0.5),
    Huber(1.0, delta=0.5),
    LHalf(1.0),
    GroupLasso(1.0, axis=()),
    ExclusiveLasso(1.0),
]


def in_parts(penalty):
    return lambda x: penalty(jax.lax.complex(x[0], x[1]))


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: type(p).__name__)
def test_hessians_are_those_of_finite_differences(penalty, x64):
    x, step = jnp.array([[3.0, -0.2], [4.0, 0.3]]), 1e-5
    gradient = jax.grad(in_parts(penalty))
    moves = step * np.eye(4).reshape(4, 2, 2)
    expected = np.stack([(gradient(x + move) - gradient(x - move)) / (2 * step) for move in moves])
    found = jax.hessian(in_parts(penalty))(x)
    np.testing.assert_allclose(found, expected.reshape(2, 2, 2, 2), atol=1e-7)
    at_zero = jax.hessian(in_parts(penalty))(jnp.zeros((2, 2)))
    assert jnp.isfinite(at_zero).all()


def test_the_modulus_has_the_hessian_of_jax():
    x = jnp.array([[3.0], [4.0]])
    reference = jax.hessian(lambda x: jnp.abs(jax.lax.complex(x[0], x[1])).sum())(x)
    np.testing.assert_allclose(jax.hessian(in_parts(L1(1.0)))(x), reference, atol=1e-7)


def test_a_smooth_penalty_of_ones_own_adds_the_conjugated_gradient():
    class Squares(SmoothPenalty):
        strength: float

        def value_at(self, w):
            return jnp.sum(self.strength * jnp.abs(w) ** 2)

    w = jnp.array([1 + 1j])
    found = Squares(0.1).subgradient(w, jnp.zeros_like(w))
    np.testing.assert_allclose(found, L2(0.1).subgradient(w, jnp.zeros_like(w)), rtol=1e-6)
