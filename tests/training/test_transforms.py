"""What add_penalty and proximal share: strengths that change, what passes through, every kind of tree."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import L1, L2, ElasticNet, add_penalty, penalized, proximal

from cases import random_params
from loops import assert_same
from problems import lenient

TRANSFORMS = {"add_penalty": add_penalty, "proximal": lambda penalty: proximal(penalty, 0.1)}


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_function_of_the_step_count_is_a_schedule(make):
    def schedule(count):
        return L1(0.1 * (count + 1).astype(jnp.float32))

    scheduled, params, grads = make(schedule), random_params(0), random_params(1)
    state = scheduled.init(params)
    assert int(state.penalty_step) == 0
    for step in range(3):
        updates, state = jax.jit(scheduled.update)(grads, state, params)
        constant = make(L1(0.1 * (step + 1)))
        expected, _ = constant.update(grads, constant.init(params), params)
        chex.assert_trees_all_close(updates, expected, rtol=1e-6, atol=1e-7)
        assert float(state.penalty.strength) == pytest.approx(0.1 * (step + 1))
        assert int(state.penalty_step) == step + 1


NUMBERS = {
    "float": float,
    "int": lambda x: int(x),
    "numpy float64": np.float64,
    "numpy float32": np.float32,
    "numpy array": np.array,
    "jax array": jnp.array,
    "jax float32": jnp.float32,
}


@pytest.mark.parametrize(
    "make", [*TRANSFORMS.values(), functools.partial(penalized, optax.sgd(0.1), decay=0.0)]
)
@pytest.mark.parametrize(
    "build",
    [
        L1,
        lambda s: L1(s).on("*/kernel") + L2(s).on("*/bias"),
        lambda s: ElasticNet(s, s),
        lambda s: 2 * L1(s),
    ],
    ids=["L1", "sum of selections", "ElasticNet", "multiple"],
)
def test_strengths_in_the_state_change_without_a_new_compile(make, build):
    params, grads = random_params(0), random_params(1)
    transform = make(build(0.5))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(grads, state, params):
        return transform.update(grads, state, params)

    state = transform.init(params)
    before, state = update(grads, state, params)
    for number in NUMBERS.values():
        state = optax.tree.set(state, penalty=build(number(2.0)))
        after, state = update(grads, state, params)
        assert jax.tree.leaves(state.penalty)[0] == jax.tree.leaves(build(2.0))[0]
    fresh = make(build(2.0))
    expected, _ = fresh.update(grads, fresh.init(params), params)
    chex.assert_trees_all_close(after, expected, rtol=1e-6, atol=1e-7)
    assert np.max(np.abs(after["dense"]["kernel"] - before["dense"]["kernel"])) > 1e-3


def test_strengths_are_found_deep_in_a_chain():
    optimizer = optax.chain(optax.clip(1.0), add_penalty(L2(0.1)), optax.adam(0.1))
    params = random_params()
    state = optimizer.init(params)
    assert float(optax.tree.get(state, "penalty").strength) == np.float32(0.1)
    state = optax.tree.set(state, penalty=L2(0.7))
    _, state = lenient(optimizer).update(optax.tree.zeros_like(params), state, params)
    assert float(optax.tree.get(state, "penalty").strength) == np.float32(0.7)


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_donated_state_leaves_the_penalty_usable(make):
    strength = jnp.full((2,), 0.1)
    penalty, params = L1(strength), {"a": jnp.ones((3, 2))}
    transform = make(penalty)
    update = jax.jit(transform.update, donate_argnums=1)
    jax.block_until_ready(update(optax.tree.zeros_like(params), transform.init(params), params))
    assert not strength.is_deleted()
    assert_same(transform.init(params).penalty.strength, np.full((2,), np.float32(0.1)))


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_updates_of_many_strengths_are_one_vmap(make):
    params, grads = random_params(0), random_params(1)
    strengths = jnp.array([0.0, 0.1, 1.0])

    def update(strength):
        transform = make(L1(strength))
        return transform.update(grads, transform.init(params), params)[0]

    batched = jax.vmap(update)(strengths)
    for i, strength in enumerate(strengths):
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, i=i: x[i], batched), update(strength), rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    "strength", [0.1, jnp.float32(0.1), np.float64(0.1)], ids=["float", "float32", "float64"]
)
def test_updates_keep_narrow_dtypes(dtype, strength):
    params, grads = random_params(0, dtype), random_params(1, dtype)
    for transform in (add_penalty(L1(strength)), proximal(L1(strength), 0.1)):
        updates, _ = jax.jit(transform.update)(grads, transform.init(params), params)
        assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), functools.partial(penalized, optax.sgd(1.0))])
def test_missing_gradients_pass_through(make):
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(4)}
    transform = make(L1(0.1))
    grads = {"a": jnp.ones(2), "b": None, "c": optax.MaskedNode()}
    updates, _ = transform.update(grads, transform.init(params), params)
    assert updates["b"] is None
    assert updates["c"] == optax.MaskedNode()
    alone, _ = transform.update({"a": jnp.ones(2)}, transform.init({"a": params["a"]}), {"a": params["a"]})
    assert_same(updates["a"], alone["a"])


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), functools.partial(penalized, optax.identity())])
def test_integers_and_their_float0_gradients_pass_through(make):
    params = {"w": jnp.array([2.0]), "steps": jnp.array([3, 4])}
    grads = jax.grad(lambda p: jnp.sum(p["w"]), allow_int=True)(params)
    assert grads["steps"].dtype == jax.dtypes.float0
    transform = make(L1(0.1))
    updates, _ = transform.update(grads, transform.init(params), params)
    assert updates["steps"] is grads["steps"]
    assert updates["w"] != grads["w"]


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_partitioned_boxes_stay_boxes(make):
    module = nn.Dense(2, kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model")))
    params = module.init(jax.random.key(0), jnp.ones((1, 3)))["params"]
    assert isinstance(params["kernel"], nn.Partitioned)
    transform = make(L1(0.5).on("kernel"))
    updates, _ = transform.update(optax.tree.zeros_like(params), transform.init(params), params)
    assert isinstance(updates["kernel"], nn.Partitioned)
    assert updates["kernel"].names == (None, "model")
    plain = nn.unbox(params)
    expected, _ = transform.update(optax.tree.zeros_like(plain), transform.init(plain), plain)
    assert_same(nn.unbox(updates), expected)
    assert np.max(np.abs(expected["kernel"])) > 0


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_nnx_states_and_pure_dicts_give_the_same_updates(make):
    state = nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Param)
    pure = nnx.to_pure_dict(state)
    transform = make(L1(0.5).on("kernel"))
    updates, _ = transform.update(optax.tree.zeros_like(state), transform.init(state), state)
    expected, _ = transform.update(optax.tree.zeros_like(pure), transform.init(pure), pure)
    assert isinstance(updates, nnx.State)
    assert_same(nnx.to_pure_dict(updates), expected)
    assert np.max(np.abs(expected["kernel"])) > 0
    # A state made of the one serves the other: selection is by path, not by a stored tree.
    mixed, _ = transform.update(optax.tree.zeros_like(pure), transform.init(state), pure)
    assert_same(mixed, expected)


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), lambda penalty: penalized(optax.sgd(0.1), penalty)])
@pytest.mark.parametrize("penalty", [L1({"a": 0.1, "b": 0.2}), L1(0.1).on("b") + L2(0.1).on("a")])
def test_leaves_without_a_gradient_are_penalized_leaves_all_the_same(make, penalty):
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    optimizer = make(penalty)
    grads = {"a": jnp.ones(3), "b": None}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    full, _ = optimizer.update(grads | {"b": jnp.ones(2)}, optimizer.init(params), params)
    assert updates["b"] is None
    np.testing.assert_array_equal(updates["a"], full["a"])
