"""`penalized` in the training loops of optax, Flax Linen, Flax NNX and Equinox."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from penalties import L1, ElasticNet, penalized

from cases import random_params
from loops import KERNELS, assert_close, assert_same, stepper, target_loss, train
from problems import lenient


def test_a_scan_is_a_loop():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    params = random_params()
    step = stepper(optimizer)
    start = (params, optimizer.init(params))
    scanned, state = jax.jit(lambda c: jax.lax.scan(lambda c, _: (step(*c), None), c, length=30)[0])(start)
    looped, looped_state = train(optimizer, params, 30)
    assert_close(scanned, looped)
    assert_close(state, looped_state)


def test_params_and_state_can_be_donated():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    params = random_params()
    expected, _ = train(optimizer, params, 4)
    state = optimizer.init(params)
    step = jax.jit(stepper(optimizer), donate_argnums=(0, 1))
    for _ in range(4):
        before = params, state
        params, state = jax.block_until_ready(step(params, state))  # a warning, if some could not be used
        assert all(x.is_deleted() for x in jax.tree.leaves(before))
    assert_close(params, expected)
    jax.block_until_ready(optimizer.init(params))  # the penalty it was built with is still there


def test_a_checkpoint_continues_bit_for_bit(tmp_path):
    penalty = KERNELS + ElasticNet(0.05, 0.1).on("*/bias")
    optimizer = penalized(lenient(optax.adam(0.05)), penalty, accumulator_dtype=jnp.bfloat16)
    params, state = train(optimizer, random_params(), 10)
    state = optax.tree.set(state, penalty=0.5 * penalty)
    step = stepper(optimizer)
    params, state = step(params, state)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step", {"params": params, "state": state})
        checkpointer.wait_until_finished()
        fresh = random_params(7)
        like = {"params": fresh, "state": optimizer.init(fresh)}
        restored = checkpointer.restore(
            tmp_path / "step", jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        )
    assert_same(restored, {"params": params, "state": state})
    again = restored["params"], restored["state"]
    for _ in range(5):
        params, state = step(params, state)
        again = step(*again)
    assert_same(again, (params, state))


def test_flax_train_state_trains_to_exact_zeros():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    state = TrainState.create(apply_fn=lambda p: p, params=random_params(), tx=optimizer)

    @jax.jit
    def step(state):
        return state.apply_gradients(grads=jax.grad(target_loss)(state.params))

    for _ in range(12):
        state = step(state)
    params, inner = train(optimizer, random_params(), 12)
    assert_close(state.params, params)
    assert int(state.opt_state.penalty_step) == int(inner.penalty_step) == 12


def regression():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(40, 4)), jnp.float32)
    return x, x[:, :1] * 2.0 + 0.5


def test_nnx_optimizer_trains_to_exact_zeros():
    x, y = regression()
    model = nnx.Linear(4, 1, rngs=nnx.Rngs(0))
    transform = penalized(lenient(optax.adam(optax.cosine_decay_schedule(0.1, 300))), L1(0.2).on("**/kernel"))
    optimizer = nnx.Optimizer(model, transform, wrt=nnx.Param)
    start = nnx.to_pure_dict(nnx.state(model, nnx.Param))

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(300):
        step(model, optimizer)
    kernel = model.kernel[...]
    assert np.all(kernel[1:] == 0)
    assert kernel[0, 0] == pytest.approx(1.9, abs=0.05)
    assert model.bias[0] != 0

    def loss(p):
        return jnp.mean((x @ p["kernel"] + p["bias"][None] - y) ** 2)

    plain, _ = train(transform, start, 300, loss)
    assert_close(nnx.to_pure_dict(nnx.state(model, nnx.Param)), plain, rtol=1e-4, atol=1e-4)


def test_equinox_modules_train_to_exact_zeros():
    x, y = regression()
    model = eqx.nn.MLP(4, 1, 3, 1, key=jax.random.key(0), activation=jax.nn.tanh)
    schedule = optax.cosine_decay_schedule(0.02, 400)
    optimizer = penalized(lenient(optax.adam(schedule)), L1(0.1).on("**/weight"))
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state):
        grads = eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(x) - y) ** 2))(model)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state

    for _ in range(400):
        model, state = step(model, state)
    assert np.all(model.layers[0].weight[:, 1:] == 0)
    assert np.any(model.layers[0].weight[:, 0] != 0)
    assert np.all(model.layers[0].bias != 0)
    assert callable(model.activation)


@pytest.mark.slow
def test_linen_params_in_partitioned_boxes_train_as_without():
    x, y = regression()
    boxed = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model"))
    module = nn.Dense(1, kernel_init=boxed)
    params = module.init(jax.random.key(0), x)["params"]
    optimizer = penalized(lenient(optax.adam(0.1)), L1(0.2).on("kernel"))

    def loss(params):
        return jnp.mean((module.apply({"params": params}, x) - y) ** 2)

    trained, state = train(optimizer, params, 100, loss)
    assert isinstance(trained["kernel"], nn.Partitioned)
    assert isinstance(state.average["kernel"], nn.Partitioned)
    assert_close(nn.unbox(trained), train(optimizer, nn.unbox(params), 100, loss)[0])
    assert np.any(trained["kernel"].value == 0)
