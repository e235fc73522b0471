"""Training until whole units are dead in all leaves that make them, and can be taken out."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import (
    L1,
    L2,
    Coupled,
    GroupLasso,
    LogSum,
    add_penalty,
    couplings,
    optimality,
    penalized,
    proximal,
    shrink,
    sparsity,
)

from networks.mlp import mlp
from networks.residual import PARAMS, X, residual

pytestmark = pytest.mark.usefixtures("promotion")

Y = np.abs(X[:, :1]) + 0.5 * X[:, 1:2]


def loss(params):
    return jnp.mean((residual(params, X) - Y) ** 2)


def trained(optimizer, loss, params, steps):
    """The params after these steps."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), None, steps)[0][0]


def dead_units(found, params):
    """Which units are zero, in each leaf that makes them."""
    dead = {}
    for axis in found.axes:
        if axis.makes:
            lines = np.moveaxis(np.asarray(params[axis.path]), axis.axis, -1).reshape(-1, axis.length)
            dead[axis.path] = np.all(lines == 0, 0)
    return dead


SOLVED = [
    pytest.param(L1, id="L1"),
    pytest.param(lambda strength: LogSum(strength, epsilon=0.3), marks=pytest.mark.slow, id="LogSum"),
]


@pytest.fixture(scope="module", params=SOLVED)
def solutions(request, promotion):
    """Of two strengths, trained at once."""
    units = couplings(residual, PARAMS, X[:2])

    @jax.jit
    @jax.vmap
    def solve(strength):
        penalty = Coupled(request.param(strength), units) + L2(1e-3).on("head")
        rate = optax.cosine_decay_schedule(1e-2, 1500)
        params = trained(penalized(optax.adam(rate), penalty), loss, PARAMS, 1500)
        first, last = (optimality(penalty, at, jax.grad(loss)(at)).norm for at in (PARAMS, params))
        return params, last / first

    params, left = solve(jnp.array([1e-3, 6e-3]))
    return units, [jax.tree.map(lambda x, i=i: x[i], params) for i in range(2)], left


@pytest.mark.slow
class TestResidual:
    """Kernels, biases, scales and shifts, over a residual stream."""

    def test_units_die_in_all_their_leaves_together(self, solutions):
        units, solved, left = solutions
        assert np.all(left < 0.02)
        counts = []
        for params in solved:
            dead = [list(dead_units(found, params).values()) for found in units]
            for of_leaves in dead:
                for each in of_leaves[1:]:
                    np.testing.assert_array_equal(each, of_leaves[0])
            counts.append([int(of_leaves[0].sum()) for of_leaves in dead])
        assert sum(counts[0]) < sum(counts[1])
        assert min(counts[1]) > 0

    def test_they_can_be_taken_out(self, solutions):
        units, solved, _ = solutions
        small = shrink(residual, solved[1], X)
        for found in units:
            alive = ~next(iter(dead_units(found, solved[1]).values()))
            if alive.any():
                np.testing.assert_array_equal(small.kept[found.name], np.flatnonzero(alive))
        outputs = residual(solved[1], X)
        np.testing.assert_allclose(small.apply(small.params, X), outputs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_penalties_go_along_when_a_network_shrinks():
    units = couplings(residual, PARAMS, X[:2])
    params = dict(PARAMS)
    for found, dead in zip(units, ([3], [0, 4], [9]), strict=True):
        for axis in found.axes:
            if axis.makes:
                params[axis.path] = params[axis.path].at[..., jnp.array(dead)].set(0)
    small = shrink(residual, params, X[:2])
    assert [len(kept) for kept in small.kept.values()] == [7, 8, 9]

    penalty = Coupled(L1(6e-3), units) + L2(1e-3).on("head")
    fewer = small.along(penalty)
    found = couplings(small.apply, small.params, X[:2])
    anew = Coupled(L1(6e-3), found)(small.params) + L2(1e-3).on("head")(small.params)
    np.testing.assert_allclose(fewer(small.params), anew, rtol=1e-5)

    state = small.along(penalized(optax.adam(1e-3), penalty).init(params))
    grads = jax.tree.map(jnp.ones_like, small.params)
    updates, _ = penalized(optax.adam(1e-3), fewer).update(grads, state, small.params)
    chex.assert_trees_all_equal_shapes(updates, small.params)


def test_on_one_kernel_it_is_the_group_lasso_bit_for_bit():
    rng = np.random.default_rng(0)
    params = {n: jnp.asarray(rng.normal(size=s), jnp.float32) for n, s in {"a": (4, 6), "c": (6, 1)}.items()}

    def loss(p):
        return jnp.mean((jnp.tanh(X @ p["a"]) @ p["c"] - Y) ** 2)

    units = couplings(lambda p, x: jnp.tanh(x @ p["a"]) @ p["c"], params, X)
    penalties = Coupled(L1(0.05), units), GroupLasso(0.05).on("a")
    solve = jax.jit(lambda p, penalty: trained(penalized(optax.adam(0.01), penalty), loss, p, 300))
    ours, theirs = (solve(params, penalty) for penalty in penalties)
    assert sparsity(ours).zeros > 0
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_in_a_chain(weights):
    x = X[:, :3]
    units = couplings(mlp, weights, x)
    penalty = Coupled(L1(0.5), units)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    optimizer = add_penalty(penalty)
    added, _ = optimizer.update(zeros, optimizer.init(weights), weights)
    jax.tree.map(np.testing.assert_array_equal, added, jax.grad(penalty)(weights))
    optimizer = proximal(penalty, 0.1)
    updates, _ = optimizer.update(zeros, optimizer.init(weights), weights)
    new = optax.apply_updates(weights, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new, penalty.prox(weights, 0.1))


@pytest.mark.slow
def test_strengths_change_in_the_state_and_zeros_are_watched(weights):
    x = X[:, :3]
    penalty = Coupled(L1(0.0), couplings(mlp, weights, x))
    optimizer = penalized(optax.sgd(0.01), penalty, check=True)
    state = optimizer.init(weights)
    update = jax.jit(chex.assert_max_traces(optimizer.update, 1))
    grads = jax.grad(lambda p: jnp.mean(mlp(p, x) ** 2))(weights)
    _, state = update(grads, state, weights)
    state = optax.tree.set(state, penalty=100 * Coupled(L1(1.0), penalty.units))
    updates, state = update(grads, state, weights)
    np.testing.assert_array_equal(updates["a"], -weights["a"])
    np.testing.assert_array_equal(updates["b"], -weights["b"])
    assert np.all(updates["c"] != -weights["c"])


class BatchNormed(nnx.Module):
    def __init__(self, rngs):
        self.first, self.norm = nnx.Linear(4, 6, use_bias=False, rngs=rngs), nnx.BatchNorm(6, rngs=rngs)
        self.out = nnx.Linear(6, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.norm(self.first(x))))


@pytest.mark.slow
def test_statistics_of_norms_are_no_weights_of_a_unit():
    model = BatchNormed(nnx.Rngs(0))
    penalty = Coupled(L1(0.3), couplings(model, X))
    assert penalty.paths == ("first/kernel", "norm/bias", "norm/scale")
    matrix = jnp.concatenate(
        [model.first.kernel[...], model.norm.bias[...][None], model.norm.scale[...][None]]
    )
    np.testing.assert_allclose(penalty(model), GroupLasso(0.3)(matrix), rtol=1e-6)

    optimizer = nnx.Optimizer(model, penalized(optax.adam(0.01), penalty), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda model: jnp.mean((model(X) - Y) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(150):
        step(model, optimizer)
    dead = np.all(np.asarray(model.first.kernel[...]) == 0, 0)
    assert dead.sum() > 0
    np.testing.assert_array_equal(np.asarray(model.norm.scale[...]) == 0, dead)
    np.testing.assert_array_equal(np.asarray(model.norm.bias[...]) == 0, dead)
    small = shrink(model, X)
    assert len(small.kept["first/kernel axis 1"]) == max(1, 6 - dead.sum())


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.BatchNorm(use_running_average=True)(nn.Dense(6)(x)))


@pytest.mark.slow
def test_linen_variables_and_their_params():
    model = Linen()
    variables = model.init(jax.random.key(0), X)
    penalty = Coupled(L1(0.3), couplings(model.apply, variables, X))
    assert len(penalty.paths) == 4
    np.testing.assert_allclose(penalty(variables), penalty(variables["params"]), rtol=1e-6)
