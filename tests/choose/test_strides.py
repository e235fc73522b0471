"""What `to_sparsity` knows of an optimizer: how far it moves, measured on part of a large leaf."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, sparsity, to_sparsity
from penalties._choose.strides import SAMPLE, moving_share, sample

from problems import lenient


@pytest.mark.parametrize(
    "shape", [(7, 3000), (3000, 7), (3, 100, 100), (1, 50_021), (3, 3, 300, 500), (9000, 900)]
)
def test_a_sample_is_spread_along_all_axes(shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    taken, same = map(np.asarray, sample(x, x + 1))
    np.testing.assert_array_equal(taken + 1, same)
    assert SAMPLE / 2 <= taken.size < 3 * SAMPLE
    assert taken.ndim == x.ndim
    for n, m in zip(shape, taken.shape, strict=True):  # no axis is all but left out
        assert m >= min(n / 3, 40)


@pytest.mark.parametrize("shape", [(), (5,), (100, 160)])
def test_of_few_weights_all_are_taken(shape):
    (taken,) = sample(jnp.ones(shape))
    assert taken.shape == shape


def test_the_stride_of_plain_descent_is_its_rate():
    params = jnp.linspace(-1.0, 1.0, 80_000).reshape(400, 200)
    optimizer = to_sparsity(optax.sgd(0.125), L1(1.0), 0.5, 200)
    state, step = optimizer.init(params), jax.jit(optimizer.update)
    for _ in range(12):
        _, state = step(1e-3 * jnp.cos(99 * params), state, params)
    assert state.strides[""] == pytest.approx(0.125, rel=1e-5)


def test_where_most_steps_move_nothing_the_first_that_does_is_measured():
    params = jnp.linspace(-1.0, 1.0, 10)
    optimizer = to_sparsity(lenient(optax.MultiSteps(optax.sgd(0.125), 4)), L1(1.0), 0.5, 200)
    state, step = optimizer.init(params), jax.jit(optimizer.update)
    for _ in range(12):
        _, state = step(jnp.ones(10), state, params)
    assert state.strides[""] == pytest.approx(0.125)
    assert state.penalized.penalty.factor[""] == 0  # before a stride is known, no strength is chosen


def test_the_share_of_steps_that_move_is_read_from_what_accumulates():
    params = jnp.linspace(-1.0, 1.0, 10)
    for optimizer, share in ((optax.MultiSteps(optax.adam(0.1), 4), 0.25), (optax.adam(0.1), 1.0)):
        optimizer = optax.chain(optax.clip(1.0), lenient(optimizer))
        state, step = optimizer.init(params), jax.jit(optimizer.update)
        for count in range(1, 12):
            _, state = step(params, state, params)
            if count >= 4:
                assert moving_share(state, jnp.asarray(count)) == share


def test_the_cut_goes_by_the_average_before_its_own_gradient():
    """Too many are zero: some are let go, the ones the loss pulls at most so far."""
    params = jnp.concatenate([jnp.ones(2), jnp.zeros(8)])
    optimizer = to_sparsity(optax.sgd(1e-4), L1(1.0), 0.5, 140, floor=0.0)
    state, average = optimizer.init(params), jnp.arange(10.0) / 10
    within = state.penalized._replace(penalty_step=jnp.asarray(69, jnp.int32), average=average)
    state = state._replace(strides={"": jnp.float32(1e-4)}, penalized=within)
    surprise = jnp.where(jnp.arange(10) < 7, jnp.float32(1e6), 0.0)
    step = jax.jit(optimizer.update)
    updates, state = step(surprise, state, params)
    assert state.held
    assert np.flatnonzero(params + updates).tolist() == [0, 1, 7, 8, 9]
    assert sparsity(params + updates).share == 0.5
    np.testing.assert_array_equal(state.penalized.average, average)
    # With more steps before the cut the strength takes over at once, and no zero is lost.
    params = params + updates
    updates, state = step(average, optax.tree.set(state, steps=jnp.int32(200)), params)
    assert not state.held
    assert sparsity(params + updates).share == 0.5
