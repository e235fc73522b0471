"""What `penalized` refuses, and what its errors say."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, penalized

from cases import random_params
from loops import Quartic


@pytest.mark.parametrize("penalty", [Quartic(0.1), L1(0.1) + Quartic(0.1), (2 * Quartic(0.1)).on("*/kernel")])
def test_a_penalty_without_a_rule_for_zeros_is_refused_at_once(penalty):
    with pytest.raises(
        TypeError, match=r"Quartic has no .*: use `penalties\.proximal\(penalty, step_size\)`"
    ):
        penalized(optax.sgd(0.1), penalty)


def test_a_schedule_of_penalties_without_a_rule_for_zeros_is_refused_when_the_state_is_made():
    with pytest.raises(TypeError, match=r"Quartic has no .*proximal"):
        penalized(optax.sgd(0.1), lambda count: Quartic(0.1)).init(random_params())


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay is .*: expected a number in \[0, 1\)"):
        penalized(optax.sgd(0.1), L1(0.1), decay=decay)


def test_an_average_that_cannot_be_kept_is_refused():
    for decay in (np.array([0.9, 0.99]), jnp.array([0.9])):
        with pytest.raises(TypeError, match=r"decay is .*: expected a number"):
            penalized(optax.sgd(0.1), L1(0.1), decay=decay)
    for dtype in ("bananas", jnp.float8_e4m3fn):
        with pytest.raises(TypeError, match=r"accumulator_dtype is .*: expected a floating dtype of 16 bits"):
            penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=dtype)
    with pytest.raises(TypeError, match=r"decay is '0\.9' of type str: expected a number"):
        penalized(optax.sgd(0.1), L1(0.1), decay="0.9")
    with pytest.raises(TypeError, match=r"accumulator_dtype is .*: expected a floating dtype"):
        penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=jnp.int32)


@pytest.mark.parametrize("wrong", [optax.adam, None, L1(0.1)])
def test_what_is_no_optimizer_is_named(wrong):
    with pytest.raises(TypeError, match="expected an optax optimizer"):
        penalized(wrong, L1(0.1))


def test_swapped_arguments_are_told_by_the_optimizer():
    with pytest.raises(TypeError, match=r"^the optimizer is L1\(0\.1\) of .* as in penalized\(optim"):
        penalized(L1(0.1), optax.adam(0.1))  # type: ignore[arg-type]


def test_a_decay_that_is_1_in_float32_is_refused():
    with pytest.raises(ValueError, match="less than 1 in float32"):
        penalized(optax.sgd(0.1), L1(0.1), decay=1 - 1e-9)


def test_a_leaf_that_had_no_kink_at_init_is_refused_and_not_judged_by_its_noise():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    optimizer = penalized(optax.sgd(0.1), L1(0.1))
    state = optimizer.init({"a": params["a"]})
    with pytest.raises(ValueError, match="no average for the leaf 'b'"):
        optimizer.update(params, state, params)


def test_fewer_params_than_the_state_is_of_are_refused():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    optimizer = penalized(optax.adam(0.1), L1(0.1))
    fewer = {"a": params["a"]}
    with pytest.raises(ValueError, match=r"the state has averages for the leaves \['b'\], which the params"):
        optimizer.update(fewer, optimizer.init(params), fewer)


def test_a_state_takes_no_penalty_that_is_built_otherwise():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    optimizer = penalized(optax.sgd(0.1), L1(0.1).on("a"))
    for other in (L1(0.1).on("b"), L2(0.1).on("a"), L1(0.1)):
        state = optax.tree.set(optimizer.init(params), penalty=other)
        with pytest.raises(ValueError, match=r"was built with L1\(0\.1\)\.on\('a'\): set one"):
            optimizer.update(params, state, params)
