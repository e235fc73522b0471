"""hold_zeros: zeros stay, the rest trains on without a penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import hold_zeros, kernels

from choose.convex import X, Y
from problems import lenient

SUPPORT = [0, 1, 4]


def loss(w):
    return jnp.mean((jnp.asarray(X, w.dtype) @ w - jnp.asarray(Y, w.dtype)) ** 2)


def trained(optimizer, w, steps):
    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.grad(loss)(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.jit(lambda w: jax.lax.scan(step, (w, optimizer.init(w)), length=steps)[0][0])(w)


@pytest.mark.parametrize(
    "optimizer", [optax.sgd(0.1, momentum=0.5), optax.adam(0.05), optax.adamw(0.05, weight_decay=0.0)]
)
def test_the_refit_is_least_squares_on_the_support(optimizer):
    w = trained(hold_zeros(lenient(optimizer)), jnp.zeros(8).at[jnp.array(SUPPORT)].set(0.1), 1_000)
    expected = np.zeros(8)
    expected[SUPPORT] = np.linalg.lstsq(X[:, SUPPORT], Y, rcond=None)[0]
    np.testing.assert_allclose(w, expected, atol=1e-3)
    assert np.flatnonzero(w).tolist() == SUPPORT


def test_what_is_held_does_not_count_in_the_norm_that_clips():
    optimizer = hold_zeros(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)))
    params, grads = jnp.array([1.0, 0.0]), jnp.array([0.5, 1e6])
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert updates.tolist() == [-0.5, 0.0]


def test_where_says_whose_zeros():
    params = {"kernel": jnp.array([1.0, 0.0]), "bias": jnp.zeros(1), "steps": jnp.array(0)}
    grads = {"kernel": jnp.ones(2), "bias": jnp.ones(1), "steps": None}
    for where, moved in ((kernels, -1.0), (None, 0.0)):
        optimizer = hold_zeros(optax.sgd(1.0), where)
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        assert updates["kernel"].tolist() == [-1, 0]
        assert updates["bias"].tolist() == [moved]
    with pytest.raises(ValueError, match="matches none"):
        hold_zeros(optax.sgd(1.0), "kernal").init(params)


def test_the_state_is_that_of_the_optimizer():
    params = jnp.ones(3)
    assert jax.tree.structure(hold_zeros(optax.adam(0.1)).init(params)) == jax.tree.structure(
        optax.adam(0.1).init(params)
    )


def test_nnx_and_extra_arguments():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    model.kernel[...] = model.kernel[...].at[0].set(0.0)
    seen = []

    def update(updates, state, params=None, *, value):
        seen.append(value)
        return updates, state

    optimizer = nnx.Optimizer(
        model,
        hold_zeros(optax.GradientTransformationExtraArgs(lambda p: None, update), kernels),
        wrt=nnx.Param,
    )
    grads = jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param))
    before = np.asarray(model.kernel[...])
    optimizer.update(model, grads, value=3.0)
    assert seen == [3.0]
    assert not model.kernel[...][0].any()
    np.testing.assert_allclose(model.kernel[...][1], before[1] + 1)
    assert model.bias[...].tolist() == [1, 1]


def test_multi_steps_is_an_optimizer_though_of_another_type():
    optimizer = hold_zeros(optax.MultiSteps(optax.sgd(0.5), 2))
    params = jnp.array([1.0, 0.0])
    state = optimizer.init(params)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(2):
            updates, state = optimizer.update(jnp.ones(2), state, params)
    np.testing.assert_allclose(updates, [-0.5, 0.0])


def test_bad_input():
    with pytest.raises(TypeError, match=r"^the optimizer is 0\.1 of type float: .* hold_zeros\(optimizer\)"):
        hold_zeros(0.1)
    optimizer = hold_zeros(optax.sgd(0.1))
    with pytest.raises(ValueError, match="hold_zeros needs the params"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
