"""Which losses are found to be quadratic, and that their solutions are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties._choose.problem import Problem
from penalties._choose.quadratic import quadratic_of

from choose.convex import X, Y

ROWS, TARGET = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)


@jax.custom_vjp
def doubled(x):
    return 2 * x


doubled.defvjp(lambda x: (2 * x, None), lambda _, g: (doubled(g),))

QUADRATIC = {
    "mean": lambda w: jnp.mean(jnp.square(ROWS @ w - TARGET)),
    "vdot": lambda w: jnp.vdot(ROWS @ w, ROWS @ w) + jnp.sum(w),
    "jitted": jax.jit(lambda w: jnp.mean(jnp.square(ROWS @ w - TARGET))),
    "linear": lambda w: jnp.sum(ROWS @ w),
}
OTHER = {
    "cubic": lambda w: jnp.sum(ROWS @ w * jnp.square(ROWS @ w)),
    "huber": lambda w: jnp.sum(jnp.minimum(jnp.square(ROWS @ w - TARGET), 1)),
    "logistic": lambda w: jnp.mean(jax.nn.softplus(ROWS @ w)),
    "no second derivative": lambda w: jnp.sum(jnp.square(doubled(ROWS @ w))),
    "few data": lambda w: jnp.sum(jnp.square(w)),
}


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(loss, marks=pytest.mark.slow if name == "vdot" else [])
        for name, loss in QUADRATIC.items()
    ],
    ids=QUADRATIC,
)
def test_what_is_quadratic_has_the_gradient_of_the_loss(loss):
    w = jnp.asarray(np.random.default_rng(0).normal(size=8), jnp.float32)
    found = quadratic_of(Problem(loss, None, w, ()))
    np.testing.assert_allclose(found.gradient([w])[0], jax.grad(loss)(w), rtol=1e-4, atol=1e-4)
    curvature = np.linalg.eigvalsh(jax.hessian(loss)(w))[-1]
    np.testing.assert_allclose(found.step, 1 / curvature if curvature > 1e-6 else 1, rtol=1e-3)


@pytest.mark.parametrize("loss", OTHER.values(), ids=OTHER)
def test_what_is_not_is_left_alone(loss):
    assert quadratic_of(Problem(loss, None, jnp.ones(8), ())) is None


def test_half_precision_and_complex_weights_are_left_alone():
    for dtype in (jnp.bfloat16, jnp.complex64):
        w = jnp.ones(8, dtype)
        problem = Problem(lambda w: jnp.sum(jnp.abs(w).astype(jnp.float32)), None, w, ())
        assert quadratic_of(problem) is None
