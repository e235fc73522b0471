"""One model and its training, on however many processes and devices there are.

python one_of_many.py ADDRESS PROCESSES INDEX FOLDER FIRST LAST: one process of several. Goes on from the
checkpoint FOLDER/FIRST, if FIRST is not 0, and leaves one at FOLDER/LAST.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from penalties import L1, GroupLasso, penalized

PENALTY = L1(0.01).on("last/kernel") + GroupLasso(0.005).on("first/kernel")
OPTIMIZER = penalized(optax.adam(optax.exponential_decay(0.05, 10, 0.9)), PENALTY)
# The groups, one for each column of the first kernel, lie across all devices.
SPECS = {
    "first": {"kernel": P("data", None), "bias": P()},
    "last": {"kernel": P(None, "data"), "bias": P("data")},
}


def at_start():
    """The same params and data in each process, in NumPy."""
    rng = np.random.default_rng(0)
    layer = {
        "first": {"kernel": rng.normal(size=(8, 16)) / 3, "bias": np.zeros(16)},
        "last": {"kernel": rng.normal(size=(16, 4)) / 4, "bias": np.zeros(4)},
    }
    x = rng.normal(size=(32, 8))
    y = np.stack([np.sin(x[:, 0]), x[:, 1], x[:, 0] * x[:, 1], np.abs(x[:, 2])], axis=1)
    return layer, (x, y)


def loss(params, x, y):
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    return jnp.mean((hidden @ params["last"]["kernel"] + params["last"]["bias"][None] - y) ** 2)


@jax.jit
def step(params, state, x, y):
    updates, state = OPTIMIZER.update(jax.grad(loss)(params, x, y), state, params)
    return optax.apply_updates(params, updates), state


def train(params, state, data, steps):
    for _ in range(steps):
        params, state = jax.block_until_ready(step(params, state, *data))
    return params, state


def on_all(mesh):
    """Params and data over all devices; each process gives of the data what it has."""
    params, data = at_start()
    params = jax.tree.map(
        lambda spec, w: jax.make_array_from_callback(w.shape, NamedSharding(mesh, spec), lambda at: w[at]),
        SPECS,
        params,
        is_leaf=lambda spec: isinstance(spec, P),
    )
    share, first = len(data[0]) // jax.process_count(), jax.process_index()
    mine = [array[share * first : share * (first + 1)] for array in data]
    rows = NamedSharding(mesh, P("data"))
    return params, [jax.make_array_from_process_local_data(rows, array) for array in mine]


def state_shardings(optimizer, params, mesh):
    """For each leaf of the state the sharding of its weight, found by the end of its path; numbers on all."""
    weights = {path: w.sharding for path, w in jax.tree_util.tree_flatten_with_path(params)[0]}

    def sharding(path, leaf):
        ends = (path[start:] for start in range(len(path)))
        return next((weights[end] for end in ends if end in weights), NamedSharding(mesh, P()))

    return jax.tree_util.tree_map_with_path(sharding, jax.eval_shape(optimizer.init, params))


def like(tree):
    """Shapes, dtypes and shardings, for a checkpoint to be restored to."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def main(address, processes, index, folder, first, last):
    jax.distributed.initialize(address, int(processes), int(index), initialization_timeout=30)
    assert jax.process_count() == jax.device_count() == int(processes)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    params, data = on_all(mesh)
    init = jax.jit(OPTIMIZER.init, out_shardings=state_shardings(OPTIMIZER, params, mesh))
    now = {"params": params, "state": init(params)}
    with ocp.StandardCheckpointer() as checkpointer:
        if int(first):
            now = checkpointer.restore(Path(folder, first), like(now))
        params, state = train(now["params"], now["state"], data, int(last) - int(first))
        checkpointer.save(Path(folder, last), {"params": params, "state": state})
        checkpointer.wait_until_finished()
    print("penalty", float(jax.jit(PENALTY)(params)), "at step", int(state.penalty_step))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
