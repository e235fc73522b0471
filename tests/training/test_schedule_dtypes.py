"""Schedules of any dtype: the strengths in a state keep the dtypes of `init`, as loops ask for."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, add_penalty, penalized, proximal


def _float(step):
    return step.astype(jnp.float32)


SCHEDULES = {
    "of the README": lambda step: jnp.minimum(_float(step) / 1000, 1.0) * L1(1e-2),
    "of optax": lambda step: L1(optax.linear_schedule(0.0, 0.1, 10)(step)),
    "int32": lambda step: L1(step),
    "a choice of ints": lambda step: L1(jnp.where(step > 1, 1, 0)),
    "bfloat16": lambda step: L1(step.astype(jnp.bfloat16)),
    "float16": lambda step: L1(step.astype(jnp.float16)),
    "a vector of ints": lambda step: L1(step * jnp.array([1, 2, 3], jnp.int32)),
    "a sum": lambda step: L1(step) + L2(_float(step)),
}
TRANSFORMS = {
    "penalized": lambda penalty: penalized(optax.sgd(0.1), penalty),
    "add_penalty": lambda penalty: optax.chain(add_penalty(penalty), optax.sgd(0.1)),
    "proximal": lambda penalty: optax.chain(optax.sgd(0.1), proximal(penalty, 0.1)),
}


@pytest.fixture(params=[False, True], ids=["32 bits", "64 bits"])
def bits(request):
    with jax.enable_x64(request.param):
        yield


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_scan_and_one_compiled_step_take_any_schedule(schedule, transform, bits):
    check_loops(TRANSFORMS[transform](SCHEDULES[schedule]))


def test_a_scheduled_hyperparameter_may_be_a_strength(bits):
    def optimizer(strength):
        return penalized(optax.sgd(0.1), L1(strength))

    check_loops(optax.inject_hyperparams(optimizer)(strength=optax.linear_schedule(0.0, 0.1, 10)))


def check_loops(optimizer):
    """A scan, a compiled step and an eager one agree, and keep the dtypes of the state."""
    params = jnp.ones(3, jnp.float32)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jnp.zeros_like(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    begin = (params, optimizer.init(params))
    chex.assert_trees_all_equal_dtypes(begin[1], jax.jit(optimizer.init)(params))
    scanned, _ = jax.lax.scan(step, begin, length=3)
    compiled, eager = jax.jit(chex.assert_max_traces(lambda c: step(c, None)[0], n=1)), begin
    jitted = begin
    for _ in range(3):
        jitted, eager = compiled(jitted), step(eager, None)[0]
    chex.assert_trees_all_equal_dtypes(begin, scanned, jitted, eager)
    np.testing.assert_allclose(scanned[0], jitted[0], rtol=1e-6)
    np.testing.assert_allclose(scanned[0], eager[0], rtol=1e-6)
    assert (scanned[0] < 1).all()
