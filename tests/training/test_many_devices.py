"""`penalized` on sharded params: no collectives of its own, the same numbers."""

import pytest

from devices import output_on_eight_devices

SHARDED = """
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from penalties import L1, ElasticNet, GroupLasso, penalized

assert len(jax.devices()) == 8
mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
SPECS = {"kernel": P(None, ("data", "model")), "deep": P("data", "model"), "bias": P("model")}
SHAPES = {"kernel": (4, 16), "deep": (8, 16), "bias": (16,)}
NAMES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
COLLECTIVE = rf"= .*\\b(?:{NAMES})(?:-start)?\\("


def put(seed):
    rng = np.random.default_rng(seed)
    host = {name: np.float32(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    return jax.device_put(host, {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()})


def collectives(optimizer, params, grads):
    state = jax.jit(optimizer.init)(params)

    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step).lower(params, state, grads).compile()
    return len(re.findall(COLLECTIVE, compiled.as_text())), compiled, state


params = jax.block_until_ready(put(0))
grads = jax.block_until_ready(put(1))
plain, _, _ = collectives(optax.adam(0.1), params, grads)
for name, penalty in {
    "L1": L1(0.3),
    "ElasticNet": ElasticNet(0.3, 0.1),
    "groups on one device": GroupLasso(1.0).on("kernel"),
}.items():
    found, step, state = collectives(penalized(optax.adam(0.1), penalty), params, grads)
    assert found == plain == 0, (name, found, plain)
    w = params
    for _ in range(8):
        w, state = jax.block_until_ready(step(w, state, grads))
    for key in SPECS:
        assert w[key].sharding.is_equivalent_to(params[key].sharding, w[key].ndim), (name, key)
    host = jax.tree.map(np.asarray, params), jax.tree.map(np.asarray, grads)
    optimizer = penalized(optax.adam(0.1), penalty)
    v, state = host[0], optimizer.init(host[0])
    update = jax.jit(optimizer.update)
    for _ in range(8):
        updates, state = jax.block_until_ready(update(host[1], state, v))
        v = jax.block_until_ready(optax.apply_updates(v, updates))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), w, v)
    assert sum(int((np.asarray(x) == 0).sum()) for x in jax.tree.leaves(w)) > 0, name
found, _, _ = collectives(penalized(optax.adam(0.1), GroupLasso(0.3).on("deep")), params, grads)
assert found > 0, "the pattern finds no collectives at all"
print("done")
"""


@pytest.mark.slow
def test_sharded_training_adds_no_collectives():
    output = output_on_eight_devices(SHARDED)
    assert output == "done\n", output
