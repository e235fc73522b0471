"""Nothing makes a NaN of its own on the way, which `jax_debug_nans` would take for an error."""

import jax
import jax.numpy as jnp
import optax
import pytest

from penalties import (
    L1,
    MCP,
    GroupLasso,
    NonNegative,
    adaptive,
    add_penalty,
    describe,
    optimality,
    penalized,
    proximal,
    to_sparsity,
)

from problems import lenient

PARAMS = jnp.array([[1.0, 0.0], [-2.0, 0.5]])
TRANSFORMS = {
    "penalized": penalized(lenient(optax.adam(0.1)), L1(0.1)),
    "penalized groups": penalized(lenient(optax.adam(0.1)), GroupLasso(0.1)),
    "add_penalty": add_penalty(MCP(0.1)),
    "proximal": proximal(L1(0.1), 0.1),
    "a projection": proximal(NonNegative()),
    "to_sparsity": to_sparsity(lenient(optax.adam(0.1)), L1(1.0), 0.5, steps=200),
}


@pytest.fixture(autouse=True)
def debug_nans():
    with jax.debug_nans(True):
        yield


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_begin_and_step(name, jit):
    optimizer = TRANSFORMS[name]
    state = optimizer.init(PARAMS)
    update = jax.jit(optimizer.update) if jit else optimizer.update
    for _ in range(2):
        updates, state = update(PARAMS, state, PARAMS)
    assert jnp.isfinite(updates).all()


def test_measures_and_adaptive_strengths():
    assert describe(L1(0.1), PARAMS)
    assert jnp.isfinite(optimality(L1(0.1), PARAMS, PARAMS).norm)
    penalty = adaptive(L1(0.1), PARAMS)
    assert jnp.isfinite(penalty(PARAMS))
    assert jnp.isfinite(penalty.prox(PARAMS, 0.1)).all()


def test_a_traced_strength_out_of_range_is_still_seen():
    # JAX runs what gave NaN again, operation by operation: there the strength is no tracer.
    with pytest.raises(ValueError, match=r"L1.strength is -1.0: expected a finite number ≥ 0"):
        jax.jit(lambda strength: L1(strength)(PARAMS))(-1.0)
