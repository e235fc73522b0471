"""Training steps on a mesh: the state of `penalized` lies like the params, and the step moves no weights."""

import pytest

from devices import output_on_eight_devices

pytestmark = pytest.mark.slow

SCRIPT = """
import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from one_of_many import SPECS, at_start, loss, state_shardings
from penalties import L1, ElasticNet, GroupLasso, add_penalty, penalized

assert len(jax.devices()) == 8
HOST, (X, Y) = jax.tree.map(np.float32, at_start())
HOST["last"] = {"kernel": np.tile(HOST["last"]["kernel"], 2), "bias": np.zeros(8, np.float32)}
Y = np.tile(Y, 2)
KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"


def lies_like(tree, params):
    for x, w in zip(jax.tree.leaves(tree), jax.tree.leaves(params), strict=True):
        assert x.sharding.is_equivalent_to(w.sharding, w.ndim), (x.sharding, w.sharding)


mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), SPECS, is_leaf=lambda x: isinstance(x, P))
params = jax.device_put(HOST, shardings)
rows = jax.device_put((X, Y), NamedSharding(mesh, P("data")))
optimizer = penalized(optax.adam(0.1), L1(0.01))

# The state, made in the three ways there are.
for state in (
    jax.jit(optimizer.init, out_shardings=state_shardings(optimizer, params, mesh))(params),
    optimizer.init(params),
):
    for tree in (state.average, state.inner_state[0].mu, state.inner_state[0].nu):
        lies_like(tree, params)


# A strength that is put where the old one was compiles nothing.
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(event) if event.endswith("backend_compile_duration") else None
)
update = jax.jit(optimizer.update)
_, state = jax.block_until_ready(update(params, update(params, state, params)[1], params))
weaker = jax.device_put(L1(0.005), NamedSharding(mesh, P()))
before = len(compiled)
_, state = jax.block_until_ready(update(params, optax.tree.set(state, penalty=weaker), params))
assert before and len(compiled) == before
assert float(state.penalty.strength) == np.float32(0.005)


class Model(nnx.Module):
    def __init__(self, params):
        self.first = nnx.data({name: nnx.Param(w) for name, w in params["first"].items()})
        self.last = nnx.data({name: nnx.Param(w) for name, w in params["last"].items()})

    def loss(self, x, y):
        return loss(nnx.to_pure_dict(nnx.state(self, nnx.Param)), x, y)


model = Model(params)
by_nnx = nnx.Optimizer(model, optimizer, wrt=nnx.Param)
update = nnx.jit(lambda model, by_nnx: by_nnx.update(model, nnx.grad(lambda m: m.loss(*rows))(model)))
for _ in range(2):
    jax.block_until_ready(update(model, by_nnx))
    state = nnx.to_pure_dict(nnx.state(by_nnx))["opt_state"]
    lies_like(nnx.to_pure_dict(nnx.state(model, nnx.Param)), params)
    lies_like(state["average"], params)
    lies_like(state["inner_state"][0]["mu"], params)
print("states: done")


# Params and batch over the same axis, as in FSDP: weights are gathered, gradients scattered.
def moved(optimizer):
    shardings = state_shardings(optimizer, params, mesh)
    state = jax.jit(optimizer.init, out_shardings=shardings)(params)

    def step(params, state, x, y):
        updates, state = optimizer.update(jax.grad(loss)(params, x, y), state, params)
        return optax.apply_updates(params, updates), state

    outs = jax.tree.map(lambda w: w.sharding, params), shardings
    text = jax.jit(step, out_shardings=outs).lower(params, state, *rows).compile().as_text()
    found = re.findall(rf"= (\\S+|\\([^)]*\\)) ({KINDS})(?:-start)?\\(", text)
    return Counter(
        (kind, shape) for shapes, kind in found for shape in re.findall(r"[a-z0-9]+\\[[0-9,]*\\]", shapes)
    )


adam = optax.adam(0.1)
plain = moved(adam)
assert plain
assert moved(penalized(adam, L1(0.1))) == plain
assert moved(penalized(adam, ElasticNet(0.1, 0.1), accumulator_dtype=jnp.bfloat16)) == plain
assert moved(optax.chain(add_penalty(L1(0.1)), adam)) == plain
# Of groups that lie across devices their sums, one number for each of the 16 groups; no weight.
more = moved(penalized(adam, GroupLasso(0.1).on("first/kernel")))
assert plain - more == Counter(), plain - more
assert set(more - plain) == {("all-reduce", "f32[16]")}, more - plain
print("fsdp: done")

# shard_map: each device sees its parts. Their values are summed; replicated leaves count once.
parts, whole = ("*/kernel", "last/bias"), "first/bias"
penalty = ElasticNet(0.1, 0.2)


def value(params):
    return jax.lax.psum(penalty.on(parts)(params), "data") + penalty.on(whole)(params)


in_parts = jax.jit(jax.shard_map(value, mesh=mesh, in_specs=(SPECS,), out_specs=P()))
np.testing.assert_allclose(in_parts(params), penalty(HOST), rtol=1e-6)
gradient = jax.jit(jax.shard_map(jax.grad(value), mesh=mesh, in_specs=(SPECS,), out_specs=SPECS))(params)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), gradient, jax.grad(penalty)(HOST))
lies_like(gradient, params)

shardings = state_shardings(optimizer, params, mesh)
specs = jax.tree.map(lambda sharding: sharding.spec, shardings)
update = jax.shard_map(
    lambda w, s: optimizer.update(w, s, w), mesh=mesh, in_specs=(SPECS, specs), out_specs=(SPECS, specs)
)
updated = jax.jit(update)(params, jax.jit(optimizer.init, out_shardings=shardings)(params))
expected = jax.jit(optimizer.update)(HOST, optimizer.init(HOST), HOST)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), updated, expected)
lies_like(updated[0], params)
print("shard_map: done")

# On an explicit mesh shardings are part of types, and the state's follow from the params'.
with jax.set_mesh(jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))):
    params = jax.device_put(HOST, jax.tree.map(lambda w: w.sharding.spec, params))
    state = jax.jit(optimizer.init)(params)
    lies_like(state.average, params)
    updated = jax.block_until_ready(jax.jit(optimizer.update)(params, state, params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), updated, expected)
    lies_like(updated[0], params)
print("explicit: done")
"""


@pytest.fixture(scope="module")
def output():
    return output_on_eight_devices(SCRIPT)


def test_states_lie_like_params_by_jit_with_out_shardings_eagerly_and_by_nnx(output):
    assert "states: done" in output, output


def test_a_step_on_sharded_params_has_the_collectives_of_adam_alone(output):
    assert "fsdp: done" in output, output


def test_in_shard_map_parts_are_summed_and_replicated_leaves_count_once(output):
    assert "shard_map: done" in output, output


def test_on_an_explicit_mesh_the_state_follows_the_params(output):
    assert "explicit: done" in output, output
