"""Units that training made zero, of several kinds of networks: they leave, and the outputs stay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from opened_networks import case_of, is_floating, opened

from penalties import L1, Coupled, couplings, shrink, to_sparsity

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("promotion")]
STEPS = 130


@pytest.mark.parametrize("name", ["linen post-norm", "eqx gru", "keras cnn"])
def test_half_of_the_units_leave(name):
    case = case_of(name)
    network, inputs = opened(case), case.inputs(4)
    leaves = [jnp.asarray(x) for x in network.leaves]
    trained = [i for i, x in enumerate(leaves) if is_floating(x)]
    params = {network.paths[i]: leaves[i] for i in trained}

    def outputs(params, inputs):
        return network.function(
            [params.get(path, x) for path, x in zip(network.paths, leaves, strict=True)], inputs
        )

    shapes = jax.eval_shape(outputs, params, inputs)
    target = jnp.asarray(np.random.default_rng(0).normal(size=shapes.shape), shapes.dtype)
    # Heads, and not what is within them: the two overlap.
    found = [units for units in couplings(outputs, params, inputs) if not units.name.endswith("axis 2")]
    optimizer = to_sparsity(optax.adam(1e-2), Coupled(L1(1.0), found), 0.5, steps=STEPS)

    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda p: jnp.mean((outputs(p, inputs) - target) ** 2))(params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = params, optimizer.init(params)
    params, _ = jax.jit(lambda carry: jax.lax.scan(step, carry, length=STEPS)[0])(start)
    small = shrink(outputs, params, inputs)
    units = sum(each.units for each in found)
    assert sum(len(small.kept[each.name]) for each in found) <= units // 2 + 1
    assert small.report.outputs < 1e-5
