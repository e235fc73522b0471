"""What is lowered for accelerators: no callback to the host, no float64, no length left open."""

import re

import jax
import jax.export
import jax.numpy as jnp
import optax
import pytest

from penalties import L1, L2, MCP, ElasticNet, Grouped, GroupLasso, LogSum, add_penalty, penalized, proximal

from cases import random_params

PLATFORMS = ("cuda", "rocm", "tpu")
PENALTIES = [
    (L1(0.1) + L2(0.1)).on("*/kernel"),
    ElasticNet(0.1, 0.2),
    GroupLasso(0.1) + L1(0.1),
    Grouped(MCP(0.1)),
    LogSum(0.1, epsilon=0.5),
]


def exported(function, *args):
    """The program in StableHLO, for each of the platforms; `jax.export` refuses callbacks to the host."""
    return [
        jax.export.export(jax.jit(function), platforms=[platform])(*args).mlir_module()
        for platform in PLATFORMS
    ]


def assert_runs_on_the_device_alone(program):
    assert not re.search(r"custom_call|stablehlo\.(send|recv|infeed|outfeed)", program)
    assert not re.search(r"[<x]f64[>,]", program)
    assert "?" not in "".join(re.findall(r"tensor<[^>]*>", program))


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_values_gradients_and_proxes(penalty):
    def every_use(penalty, params):
        return jax.value_and_grad(lambda w: penalty(w))(params), penalty.prox(params, 0.5)

    for program in exported(every_use, penalty, random_params()):
        assert_runs_on_the_device_alone(program)


TRANSFORMS = {
    "penalized": lambda penalty: penalized(optax.adam(1e-3), penalty),
    "penalized, bfloat16": lambda p: penalized(optax.adam(1e-3), p, accumulator_dtype=jnp.bfloat16),
    "add_penalty": lambda penalty: optax.chain(add_penalty(penalty), optax.adam(1e-3)),
    "proximal": lambda penalty: optax.chain(optax.sgd(1e-3), proximal(penalty, 1e-3)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_training_step(name):
    with jax.numpy_dtype_promotion("standard"):
        optimizer = TRANSFORMS[name](GroupLasso(0.1).on("*/kernel") + L1(0.1))
        params = random_params()

        def step(params, state):
            grads = jax.grad(lambda p: sum(jnp.sum(w**3) for w in jax.tree.leaves(p)))(params)
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        for program in exported(step, params, optimizer.init(params)):
            assert_runs_on_the_device_alone(program)


def test_what_is_looked_for_would_be_found():
    with pytest.raises((NotImplementedError, ValueError)):  # which, depends on the version of JAX
        exported(lambda x: jax.pure_callback(lambda x: x, x, x), jnp.ones(3))
    with jax.enable_x64(True):
        wide = exported(lambda x: 2 * x, jnp.ones(3))
    with pytest.raises(AssertionError):
        assert_runs_on_the_device_alone(wide[0])
