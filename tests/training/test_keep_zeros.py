"""keep_zeros: an average of params with the zeros of the trained ones."""

import jax
import jax.numpy as jnp
import optax
import pytest

from penalties import keep_zeros, penalized

from cases import random_params
from loops import KERNELS, assert_same, stepper, zero_count
from problems import lenient


def test_keep_zeros_is_the_average_with_the_zeros_of_the_iterate():
    averaged = {"a": jnp.array([1.0, 2.0, jnp.nan, 0.0], jnp.bfloat16), "b": jnp.array([3.0])}
    iterate = {"a": jnp.array([0.0, -0.0, 0.0, 5.0]), "b": jnp.array([1.0])}
    kept = jax.jit(keep_zeros)(averaged, iterate)
    assert kept["a"].dtype == jnp.bfloat16
    assert kept["a"].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert kept["b"].tolist() == [3.0]


def test_an_average_of_params_gets_the_zeros_of_the_trained_ones():
    ema, optimizer = optax.ema(0.9), penalized(optax.sgd(0.3), KERNELS)
    params = random_params()
    state, ema_state, step = optimizer.init(params), ema.init(params), stepper(optimizer)
    for _ in range(40):
        params, state = step(params, state)
        averaged, ema_state = lenient(ema).update(params, ema_state)
    kept = keep_zeros(averaged, params)
    assert zero_count(averaged) < zero_count(kept) == zero_count(params)
    assert_same(kept["dense"]["bias"], averaged["dense"]["bias"])


@pytest.mark.parametrize(
    ("iterate", "match"),
    [
        ({"a": jnp.ones(2)}, r"averaged alone has \['b'\], iterate alone \[\]: give it params"),
        ({"a": jnp.ones(2), "b": {"c": jnp.ones(2)}}, r"averaged alone has \['b'\], iterate alone \['b/c'\]"),
        ([jnp.ones(2), jnp.ones(2)], r"\['a', 'b'\], iterate alone \['0', '1'\]"),
        ({"a": jnp.ones(2), "b": [jnp.ones(2)]}, r"\['b'\], iterate alone \['b/0'\]"),
        (
            {"a": jnp.ones(2), "b": jnp.ones(1)},
            r"the leaf 'b' has shape \(2,\) in averaged and \(1,\) in iterate",
        ),
    ],
)
def test_keep_zeros_of_two_structures(iterate, match):
    with pytest.raises(ValueError, match=match):
        keep_zeros({"a": jnp.ones(2), "b": jnp.ones(2)}, iterate)


def test_keep_zeros_leaves_what_is_no_weight_alone():
    iterate = {"w": jnp.zeros(2), "steps": jnp.arange(2), "key": jax.random.key(0), "activation": jnp.tanh}
    kept = keep_zeros(iterate | {"w": jnp.ones(2), "steps": jnp.arange(3, 5)}, iterate)
    assert kept["w"].tolist() == [0.0, 0.0]
    assert kept["steps"].tolist() == [3, 4]
    assert kept["key"] is iterate["key"]
    assert kept["activation"] is jnp.tanh
