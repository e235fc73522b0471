"""Penalties of sharded weights: which collectives they compile to, and that numbers and shardings stay.

Run in a process of its own, for the number of devices is fixed before JAX starts.
"""

import pytest

from devices import output_on_eight_devices

pytestmark = pytest.mark.slow

SCRIPT = """
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from penalties import L1, L2, Coupled, ElasticNet, GroupLasso, couplings

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
assert len(jax.devices()) == 8

COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def collectives(function, *args):
    text = jax.jit(function).lower(*args).compile().as_text()
    return {
        name: count
        for name in COLLECTIVES
        if (count := len(re.findall(rf"= .*\\b{name}(?:-start)?\\(", text)))
    }


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), a, b)


HOST = {
    "kernel": np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32),
    "bias": np.random.default_rng(1).normal(size=8).astype(np.float32),
    "deep": {"kernel": np.random.default_rng(2).normal(size=(8, 16)).astype(np.float32)},
}


def put(mesh, kernel, bias, deep):
    specs = {"kernel": kernel, "bias": bias, "deep": {"kernel": deep}}
    is_spec = lambda x: isinstance(x, P)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=is_spec)
    return jax.block_until_ready(jax.device_put(HOST, shardings))


def same_shardings(params, z):
    for w, x in zip(jax.tree.leaves(params), jax.tree.leaves(z), strict=True):
        assert x.sharding.is_equivalent_to(w.sharding, w.ndim), (x.sharding, w.sharding)


def check_numbers(penalty, params):
    value, gradient = jax.block_until_ready(jax.jit(jax.value_and_grad(penalty))(params))
    close(value, penalty(HOST))
    close(gradient, jax.block_until_ready(jax.grad(penalty)(HOST)))
    same_shardings(params, gradient)
    z = jax.block_until_ready(penalty.prox(params, 0.5))
    close(z, jax.block_until_ready(penalty.prox(HOST, 0.5)))
    same_shardings(params, z)


PENALTIES = (L1(0.1), ElasticNet(0.1, 0.2), L1(0.1).on("**/kernel") + L2(0.3).on("bias"))

one = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
two = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
on_one = put(one, P("data"), P(), P(None, "data"))
on_two = put(two, P("data"), P(), P(None, "model"))

for penalty in PENALTIES:
    for params, axes in ((on_one, 1), (on_two, 2)):
        found = collectives(lambda w: penalty(w), params)
        assert found == {"all-reduce": axes}, (penalty, axes, found)
        found = collectives(jax.grad(penalty), params)
        assert found == {}, (penalty, axes, "gradient", found)
        found = collectives(lambda w: penalty.prox(w, 0.5), params)
        assert found == {}, (penalty, axes, "prox", found)
        check_numbers(penalty, params)
print("elementwise: done")

# Groups: each output unit. Outputs over the mesh: no group crosses devices. Inputs over it: all do.
groups = GroupLasso(0.1)
inside, across = put(one, P(None, "data"), P("data"), P(None, "data")), on_one
assert collectives(lambda w: groups.prox(w, 0.5), inside) == {}
assert collectives(jax.grad(groups), inside) == {}
assert collectives(lambda w: groups(w), inside) == {"all-reduce": 1}
found = collectives(lambda w: groups.prox(w, 0.5), across)
assert set(found) == {"all-reduce"}, found
for params in (inside, across):
    check_numbers(groups, params)
# Of units: sums over a group are exchanged, weights are not.
def network(p, x):
    return jax.nn.relu(x @ p["kernel"] + p["bias"][None]) @ p["deep"]["kernel"]


coupled = Coupled(L1(0.1), couplings(network, HOST, jnp.ones((1, 16))))
inside, across = put(one, P(None, "data"), P("data"), P()), put(one, P("data"), P(), P())
assert collectives(lambda w: coupled.prox(w, 0.5), inside) == {}
assert set(collectives(lambda w: coupled.prox(w, 0.5), across)) == {"all-reduce"}
for params in (inside, across):
    check_numbers(coupled, params)
print("groups: done")

explicit = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
with jax.set_mesh(explicit):
    params = put(explicit, P("data", "model"), P("model"), P(None, "model"))
    for penalty in (*PENALTIES, groups, GroupLasso(0.1) + L1(0.2), coupled, coupled + L1(0.2)):
        check_numbers(penalty, params)
        direction = jax.block_until_ready(penalty.subgradient(params, params))
        settled = jax.block_until_ready(penalty.settle(params, params, direction))
        same_shardings(params, settled)
        close(settled, HOST)
print("explicit: done")
"""


@pytest.fixture(scope="module")
def output():
    return output_on_eight_devices(SCRIPT)


def test_elementwise_penalties_compile_to_one_all_reduce_per_axis_and_their_proxes_to_none(output):
    assert "elementwise: done" in output, output


def test_groups_that_do_not_cross_devices_need_no_collective(output):
    assert "groups: done" in output, output


def test_explicitly_sharded_meshes_work(output):
    assert "explicit: done" in output, output
