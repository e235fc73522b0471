"""Narrow and wide params and averages under `penalized`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, penalized

from cases import random_params
from loops import KERNELS, TARGETS, soft, train, zero_count
from problems import lenient


@pytest.mark.parametrize("grads_dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_params_keep_their_dtype_and_get_exact_zeros(dtype, grads_dtype):
    params = random_params(0, dtype)
    optimizer = penalized(lenient(optax.sgd(0.25)), KERNELS)

    @jax.jit
    def step(params, state):
        targets = jax.tree.map(lambda t: t.astype(dtype), TARGETS)
        grads = jax.tree.map(lambda w, t: (w - t).astype(grads_dtype), params, targets)
        updates, state = optimizer.update(grads, state, params)
        with jax.numpy_dtype_promotion("standard"):
            return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    assert {x.dtype for x in jax.tree.leaves(state.average)} == {jnp.dtype(jnp.float32)}
    for _ in range(40):
        params, state = step(params, state)
    assert {w.dtype for w in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    kernel, target = params["dense"]["kernel"], TARGETS["dense"]["kernel"]
    np.testing.assert_array_equal(kernel == 0, np.abs(target) < 0.1)
    np.testing.assert_allclose(kernel.astype(np.float32), soft(target, 0.1), rtol=0.03)


@pytest.mark.parametrize("stored", [jnp.bfloat16, "float16", None])
def test_the_average_is_stored_in_the_accumulator_dtype(stored):
    inner = optax.sgd(0.2)
    params, state = train(penalized(inner, L1(0.1), accumulator_dtype=stored), random_params(), 400)
    assert {x.dtype for x in jax.tree.leaves(state.average)} == {jnp.dtype(stored or jnp.float32)}
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    reference, _ = train(penalized(inner, L1(0.1)), random_params(), 400)
    for mine, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(reference), strict=True):
        np.testing.assert_array_equal(mine == 0, theirs == 0)
    assert zero_count(params) > 0


def test_a_narrow_average_is_computed_in_float32():
    # 0.3 and 0.30078125 are neighbours in bfloat16 no further apart than the rounding of one.
    optimizer = penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=jnp.bfloat16)
    params, state = jnp.ones(3), None
    state = optimizer.init(params)
    for _ in range(50):
        _, state = optimizer.update(jnp.array([0.3, -1.7, 1e-3]), state, params)
    np.testing.assert_allclose(state.average.astype(np.float32), [0.3, -1.7, 1e-3], rtol=2**-8)


def test_float64_params_have_a_float64_average(x64):
    params = {"a": jnp.ones(2, jnp.float64), "b": jnp.ones(2, jnp.float32)}
    average = penalized(optax.sgd(0.1), L1(0.1)).init(params).average
    assert average["a"].dtype == jnp.float64
    assert average["b"].dtype == jnp.float32


@pytest.mark.parametrize("stored", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_average_of_float64_params_may_be_narrow(stored, x64):
    w, g = jnp.ones(3, jnp.float64), jnp.array([0.3, -1.7, 1e-3], jnp.float64)
    optimizer = penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=stored)
    updates, state = optimizer.update(g, optimizer.init(w), w)
    assert state.average.dtype == stored
    np.testing.assert_allclose(state.average.astype(np.float64), g, rtol=2**-7)
    np.testing.assert_allclose(updates, [-0.04, 0.16, -0.0101], rtol=1e-6)


def test_an_average_in_bfloat16_does_not_stall_short_of_the_gradient():
    # Each step moves it by 1 % of what is missing: rounded to the nearest, by nothing at all.
    target = jnp.array([0.9, 0.95, -0.97, 2.0])  # with strength 1 the first three are exactly 0

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(w - target, state, w)
        return (optax.apply_updates(w, updates), state), None

    tx = penalized(lenient(optax.sgd(0.2)), L1(1.0), accumulator_dtype=jnp.bfloat16)
    w = jnp.full(4, -5.0)
    w, state = jax.jit(lambda c: jax.lax.scan(step, c, length=5_000)[0])((w, tx.init(w)))
    assert state.average.dtype == jnp.bfloat16
    np.testing.assert_allclose(w, [0.0, 0.0, 0.0, 1.0], atol=1e-6)


def test_adam_needs_an_eps_that_float16_holds():
    def after_a_step(optimizer):
        w, gradient = jnp.array([1.0, 0.0], jnp.float16), jnp.array([1.0, 0.0], jnp.float16)
        updates, _ = optimizer.update(gradient, optimizer.init(w), w)
        return optax.apply_updates(w, updates)

    assert np.isnan(after_a_step(lenient(optax.adam(0.01)))).tolist() == [False, True]  # by itself
    assert after_a_step(penalized(lenient(optax.adam(0.01, eps=1e-4)), L1(0.1)))[1] == 0
