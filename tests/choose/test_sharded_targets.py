"""`to_sparsity` on sharded params: all-reduces of single numbers, no weight is moved, the same result."""

import pytest

from devices import output_on_eight_devices

SHARDED = """
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from penalties import L1, GroupLasso, to_sparsity
from penalties._choose import strides

strides.SAMPLE = 32  # so that every second column is looked at, and of "deep" every second row

assert len(jax.devices()) == 8
mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.KIND,) * 2)
SPECS = {"kernel": P(None, ("data", "model")), "deep": P("data", "model")}
SHAPES = {"kernel": (4, 16), "deep": (8, 16)}
KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"


def host(seed):
    rng = np.random.default_rng(seed)
    return {name: np.float32(rng.normal(size=shape)) for name, shape in SHAPES.items()}


def put(tree):
    return jax.device_put(tree, {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()})


for penalty, zeros in ((L1(1.0), 144), (GroupLasso(1.0).on("kernel"), 48)):
    optimizer = to_sparsity(optax.adam(0.05), penalty, 0.75, 140)

    @jax.jit
    def step(params, state, target):
        grads = jax.tree.map(jnp.subtract, params, target)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    sharded, target = put(host(0)), put(host(1))
    with jax.set_mesh(mesh):
        state = jax.jit(optimizer.init)(sharded)
    text = step.lower(sharded, state, target).compile().as_text()
    moved = set(re.findall(rf"= (\\S+) ({KINDS})(?:-start)?\\(", text))
    assert moved <= {("s32[]", "all-reduce"), ("f32[]", "all-reduce")}, moved
    whole, plain = jax.tree.map(jnp.asarray, host(0)), optimizer.init(host(0))
    for _ in range(140):
        sharded, state = jax.block_until_ready(step(sharded, state, target))
        whole, plain = jax.block_until_ready(step(whole, plain, host(1)))
    for name, w in sharded.items():
        if AxisType.KIND == AxisType.Auto:  # else another part of it is looked at
            np.testing.assert_allclose(w, whole[name], rtol=1e-5, atol=1e-6)
        assert w.sharding.is_equivalent_to(NamedSharding(mesh, SPECS[name]), w.ndim)
    assert sum(int(jnp.sum(w == 0)) for w in sharded.values()) == zeros
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_quantiles_of_sharded_weights_are_counted_where_they_are(kind):
    output = output_on_eight_devices(SHARDED.replace("KIND", kind))
    assert output == "done\n", output
