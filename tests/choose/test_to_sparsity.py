"""to_sparsity: training ends with the share of zeros that was asked for."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, serialization

from penalties import (
    L1,
    L2,
    MCP,
    Coupled,
    Grouped,
    GroupLasso,
    LogSum,
    blocks,
    couplings,
    kernels,
    labels,
    sparsity,
    to_sparsity,
)

from problems import lenient

STEPS = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 20)).astype(np.float32)
PARAMS = {
    "first": {"kernel": RNG.normal(size=(20, 50)).astype(np.float32) / 5, "bias": np.zeros(50, np.float32)},
    "last": {"kernel": RNG.normal(size=(50, 4)).astype(np.float32) / 7},
}
Y = np.tanh(X[:, :4])


def loss(params):
    first, last = params["first"], params["last"]
    hidden = jnp.tanh(jnp.asarray(X, first["kernel"].dtype) @ first["kernel"] + first["bias"][None])
    return jnp.mean((hidden @ last["kernel"] - jnp.asarray(Y, hidden.dtype)) ** 2)


def trained(optimizer, params=PARAMS, loss=loss, steps=STEPS):
    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        with jax.numpy_dtype_promotion("standard"):
            return (optax.apply_updates(params, updates), state), None

    params = jax.tree.map(jnp.asarray, params)
    return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0]


def zeros(params, where=kernels):
    return sparsity(params, where).zeros


RATES = {
    "adam": lambda: optax.adam(3e-3),
    "lion": lambda: optax.lion(1e-3),
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(optax.cosine_decay_schedule(0.03, STEPS), 0.9),
    "adamw": lambda: optax.adamw(optax.cosine_decay_schedule(3e-3, STEPS), weight_decay=1e-2),
    "muon": lambda: optax.contrib.muon(1e-2),
    "multi-step adam": lambda: optax.MultiSteps(optax.adam(3e-3), 2),
}
FAST = ("adam",)


def adam(rate):
    return lenient(optax.adam(rate))


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in RATES]
)
def test_it_ends_at_the_target(name):
    targets = np.array([0.5, 0.9, 0.99], np.float32)

    def share(target):
        return zeros(trained(to_sparsity(lenient(RATES[name]()), L1(1.0).on(kernels), target, STEPS))[0])

    found = jax.jit(jax.vmap(share))(targets)
    assert found.tolist() == [600, 1080, 1188]  # of 1,200


def test_the_refit_is_least_squares_on_what_the_path_found():
    truth = np.zeros(20, np.float32)
    truth[[1, 6, 7, 15]] = [2.0, -1.5, 1.0, 0.5]
    y = X @ truth + 0.1 * RNG.normal(size=64).astype(np.float32)

    def smooth(w):
        return jnp.mean((X @ w - y) ** 2)

    optimizer = to_sparsity(adam(0.05), L1(1.0), 0.8, 600)
    w, state = jax.jit(lambda: trained(optimizer, np.zeros(20, np.float32) + 0.1, smooth, 600))()
    support = np.flatnonzero(truth)
    assert np.flatnonzero(w).tolist() == support.tolist()
    np.testing.assert_allclose(w[support], np.linalg.lstsq(X[:, support], y)[0], atol=1e-3)
    assert state.held
    assert state.penalized.penalty.factor[""] == 0


@pytest.mark.parametrize(
    ("penalty", "share"),
    [
        (GroupLasso(1.0).on("first/kernel") + L2(0.1).on("last/kernel"), 35 / 50),
        pytest.param(Grouped(MCP(1e-3)).on("first/kernel"), 35 / 50, marks=pytest.mark.slow),
        pytest.param(
            LogSum(3.0, epsilon=0.1).on("first/kernel") + L2(0.1), 700 / 1000, marks=pytest.mark.slow
        ),
        pytest.param(MCP(1e-4).on("first/kernel"), 700 / 1000, marks=pytest.mark.slow),
        pytest.param(
            (L1(1.0) + LogSum(1.0, epsilon=1.0)).on("first/kernel"), 700 / 1000, marks=pytest.mark.slow
        ),
    ],
    ids=repr,
)
def test_other_kinds_of_zeros(penalty, share):
    params, state = jax.jit(lambda: trained(to_sparsity(adam(1e-2), penalty, 0.7, 400), steps=400))()
    kernel = np.asarray(params["first"]["kernel"])
    found = {
        35 / 50: (kernel == 0).all(0).mean(),
        700 / 1000: (kernel == 0).mean(),
    }
    assert found[share] == pytest.approx(share)
    assert state.taken < 0.05  # the penalty made them, not the cut


@pytest.mark.slow
def test_tiles_and_labels():
    """25 tiles of one leaf and 10 groups by label of another, counted together."""
    of_weights = np.arange(50)[:, None] // 10 * 2 + np.arange(4) // 2
    penalty = GroupLasso(1.0, groups=blocks((4, 10))).on("first/kernel")
    penalty = penalty + GroupLasso(1.0, groups=labels(of_weights)).on("last/kernel")
    params, state = jax.jit(lambda: trained(to_sparsity(adam(1e-2), penalty, 0.6, 400), steps=400))()
    first, last = (np.asarray(params[name]["kernel"]) == 0 for name in ("first", "last"))
    tiles = first.reshape(5, 4, 5, 10).transpose(0, 2, 1, 3).reshape(25, 40)
    groups = np.stack([last[of_weights == label] for label in range(10)])
    assert tiles.all(1).sum() + groups.all(1).sum() == 21
    for each in (tiles, groups):  # and no group in part
        np.testing.assert_array_equal(each.any(1), each.all(1))
    assert state.taken < 0.05


@pytest.mark.slow
def test_units_of_a_network():
    """All weights that make a unit die together; beside them single leaves have an L2."""

    def network(params, x):
        hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
        return hidden @ params["last"]["kernel"]

    units = couplings(network, jax.tree.map(jnp.asarray, PARAMS), X)
    penalty = Coupled(L1(1.0), units) + L2(0.1).on("last/kernel") + L2(1e-3).on("first/kernel")
    params, state = jax.jit(lambda: trained(to_sparsity(adam(1e-2), penalty, 0.7, 400), steps=400))()
    makers = np.concatenate([params["first"]["kernel"], params["first"]["bias"][None]]) == 0
    assert makers.all(0).sum() == 35
    assert makers[:-1].any(0).sum() == 35  # and no column in part
    assert (np.asarray(params["last"]["kernel"]) != 0).all()
    assert state.taken < 0.05


def test_layers_of_few_and_of_many_inputs_lose_their_even_shares():
    """He's initialization makes the units of the first layer 2.8 times as large as those of the next."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype(np.float32)
    shapes = {"first": (2, 16), "second": (16, 32), "out": (32, 1)}
    params = {
        name: np.float32(rng.normal(size=shape) * np.sqrt(2 / shape[0])) for name, shape in shapes.items()
    }

    def network(params, x):
        return jax.nn.relu(jax.nn.relu(x @ params["first"]) @ params["second"]) @ params["out"]

    def loss(params):
        return jnp.mean((network(params, x) - np.tanh(2 * x[:, :1] * x[:, 1:])) ** 2)

    penalty = Coupled(L1(1.0), couplings(network, params, x))
    optimizer = to_sparsity(adam(1e-2), penalty, 0.75, 400)
    params, state = jax.jit(lambda: trained(optimizer, params, loss, 400))()
    assert [int(jnp.sum(jnp.any(params[name] != 0, 0))) for name in ("first", "second")] == [4, 8]
    assert state.taken < 0.05


@pytest.mark.parametrize("penalty", [L1(1.0), GroupLasso(1.0, axis=0)])
def test_the_cut_keeps_floors(penalty):
    """There are ten to be left, and there are ten left: of one leaf too few."""
    params = {"a": np.zeros((10, 1), np.float32), "b": np.ones((10, 1), np.float32)}
    params["a"][:1], params["b"][:1] = 0.1, 0
    optimizer = to_sparsity(optax.sgd(0.1), penalty, 0.5, STEPS, floor=0.8)
    average = jax.tree.map(np.ones_like, params)
    strides, step = dict.fromkeys(params, jnp.float32(0.1)), jnp.int32(STEPS // 2 - 1)
    state = optimizer.init(params)
    state = optax.tree.set(state, average=average, strides=strides, penalty_step=step)
    updates, state = optimizer.update(average, state, params)
    assert state.held
    assert [int(jnp.sum(w + updates[name] != 0)) for name, w in params.items()] == [4, 6]
    assert state.taken == pytest.approx(0.15)  # three of one leaf come to life, and three of the other die


def test_nothing_dies_for_the_floor_of_a_leaf_that_cannot_live():
    """Ten are left, as there should be; that the other leaf has none cannot be helped without a gradient."""
    params = {"a": np.ones((10, 1), np.float32), "b": np.zeros((10, 1), np.float32)}
    optimizer = to_sparsity(optax.sgd(0.1), L1(1.0), 0.5, STEPS, floor=0.8)
    average = {"a": np.ones((10, 1), np.float32), "b": np.zeros((10, 1), np.float32)}
    strides, step = dict.fromkeys(params, jnp.float32(0.1)), jnp.int32(STEPS // 2 - 1)
    state = optimizer.init(params)
    state = optax.tree.set(state, average=average, strides=strides, penalty_step=step)
    updates, state = optimizer.update(average, state, params)
    assert [int(jnp.sum(w + updates[name] != 0)) for name, w in params.items()] == [10, 0]
    assert (bool(state.held), float(state.taken)) == (True, 0.0)


@pytest.mark.slow
def test_a_tree_of_targets_and_no_layer_dies():
    def of(target, **options):
        optimizer = to_sparsity(adam(3e-3), L1(1.0).on(kernels), target, STEPS, **options)
        params, _ = trained(optimizer)
        return zeros(params, "first/kernel"), zeros(params, "last/kernel")

    trees, (first, last) = jax.jit(
        lambda: (of({"first": 0.9, "last": {"kernel": 0.25}}), of(0.995, floor=1.0))
    )()
    assert tuple(map(int, trees)) == (900, 50)
    assert (int(first), int(last)) == (995, 199)  # even shares of the six that are left


@pytest.mark.slow
def test_a_leaf_that_the_loss_does_not_depend_on_gets_its_zeros_and_no_nan():
    params = {"a": jnp.linspace(-1.0, 1.0, 10), "idle": jnp.linspace(1.0, 2.0, 10)}
    optimizer = to_sparsity(optax.sgd(0.05), L1(1.0), {"a": 0.5, "idle": 0.5}, STEPS)
    found = trained(optimizer, params, lambda params: jnp.sum((params["a"] - 1) ** 2))[0]
    chex.assert_tree_all_finite(found)
    assert [int(jnp.sum(w == 0)) for w in found.values()] == [5, 5]


def test_target_and_steps_change_between_steps_without_a_compile():
    optimizer = to_sparsity(adam(3e-3), L1(1.0).on(kernels), 0.5, STEPS)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def epoch(params, state):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, state), length=50)[0]

    params = jax.tree.map(jnp.asarray, PARAMS)
    params, state = epoch(params, optimizer.init(params))
    params, state = epoch(params, optax.tree.set(state, target=jnp.float32(0.8)))
    assert int(zeros(params)) == 960
    for target, share in ((0.9, 0.9), (jnp.nan, 0), (0.75, 0.75)):  # after the cut
        params, state = epoch(params, optax.tree.set(state, target=jnp.float32(target)))
        assert int(zeros(params)) == round(1200 * share)
    params, state = epoch(params, optax.tree.set(state, steps=jnp.int32(1_000)))
    assert not state.held
    assert state.penalized.penalty.factor["first/kernel"] > 0


@pytest.mark.slow
def test_bfloat16_ties_are_broken():
    params = jax.tree.map(lambda w: jnp.asarray(w, jnp.bfloat16), PARAMS)
    optimizer = to_sparsity(lenient(optax.sgd(0.3)), L1(1.0).on(kernels), 0.9, STEPS)
    params, _ = jax.jit(lambda: trained(optimizer, params))()
    assert abs(int(zeros(params)) - 1080) <= 1


@pytest.mark.slow
def test_within_multi_steps_and_chains():
    sparse = to_sparsity(adam(3e-3), L1(1.0).on(kernels), 0.9, 140)
    optimizer = lenient(optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), sparse), 2))
    params, _ = jax.jit(lambda: trained(optimizer, steps=280))()
    assert int(zeros(params)) == 1080


@pytest.mark.slow
def test_accumulation_inside_leaves_the_cut_as_little_as_without():
    """Of eight steps one moves, and what is within reach of zero is that much less."""
    inside = lenient(optax.MultiSteps(optax.adam(1e-2), 8))
    optimizer = to_sparsity(inside, L1(1.0).on(kernels), 0.8, 8 * STEPS)
    params, state = jax.jit(lambda: trained(optimizer, steps=8 * STEPS))()
    assert int(zeros(params)) == 960
    assert float(state.taken) < 0.01  # 0.22 if eight times as much were


SPARSE = {"first": {"kernel": True, "bias": False}, "last": {"kernel": False}}
PLAIN = jax.tree.map(lambda is_sparse: not is_sparse, SPARSE)
AROUND = {
    "masked": lambda sparse: optax.chain(
        optax.masked(lenient(sparse), SPARSE), optax.masked(adam(1e-2), PLAIN)
    ),
    "partition": lambda sparse: optax.partition({True: lenient(sparse), False: adam(1e-2)}, SPARSE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("penalty", [L1(1.0), GroupLasso(1.0)], ids=repr)
def test_a_mask_or_partition_around_is_a_selection(name, penalty):
    around = lenient(AROUND[name](to_sparsity(adam(1e-2), penalty, 0.5, STEPS)))
    selected = to_sparsity(adam(1e-2), penalty.on("first/kernel"), 0.5, STEPS)
    (ours, _), (expected, _) = (jax.jit(lambda o=o: trained(o))() for o in (around, selected))
    assert int(zeros(ours, "first/kernel")) == 500
    chex.assert_trees_all_close(ours, expected, atol=1e-5)


@pytest.mark.slow
def test_nnx():
    model = nnx.Linear(20, 10, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, to_sparsity(adam(1e-2), L1(1.0).on(kernels), 0.9, 140), wrt=nnx.Param)

    @nnx.jit
    def train(model, optimizer):
        @nnx.scan(in_axes=nnx.Carry, out_axes=nnx.Carry, length=140)
        def step(carry):
            model, optimizer = carry
            optimizer.update(model, nnx.grad(lambda m: jnp.mean((m(X) - X[:, :10]) ** 2))(model))
            return carry

        step((model, optimizer))

    train(model, optimizer)
    assert int(jnp.sum(model.kernel[...] == 0)) == 180


@pytest.mark.slow
def test_a_cut_at_the_last_step():
    optimizer = to_sparsity(adam(3e-3), L1(1.0).on(kernels), 0.9, 100, cut=1.0)
    params, state = jax.jit(lambda: trained(optimizer, steps=100))()
    assert int(zeros(params)) == 1080
    assert state.held


@pytest.mark.slow
def test_a_target_of_none():
    params, _ = jax.jit(lambda: trained(to_sparsity(adam(3e-3), L1(1.0).on(kernels), 0.0, STEPS)))()
    assert int(zeros(params)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["complex64", "float64"])
def test_other_dtypes(x64, dtype):
    truth = RNG.normal(size=40) + (1j * RNG.normal(size=40) if dtype == "complex64" else 0)
    truth = truth.astype(dtype)
    optimizer = to_sparsity(lenient(optax.sgd(0.1)), L1(1.0), 0.5, STEPS)

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(w - truth, state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.ones(40, dtype)
    w = jax.jit(lambda: jax.lax.scan(step, (w, optimizer.init(w)), length=STEPS)[0][0])()
    assert w.dtype == dtype
    kept = np.sort(np.argsort(np.abs(truth))[20:])  # the prox of L1 keeps the largest
    assert np.flatnonzero(w).tolist() == kept.tolist()
    np.testing.assert_allclose(w[kept], truth[kept], atol=1e-2)


def test_states_are_written_read_and_made_of_shapes():
    optimizer = to_sparsity(lenient(optax.adam(0.1)), L1(1.0).on(kernels), {"first": 0.5, "last": 0.6}, STEPS)
    state = optimizer.init(jax.tree.map(jnp.asarray, PARAMS))
    read = serialization.from_bytes(state, serialization.to_bytes(state))
    chex.assert_trees_all_equal(read, state)
    shapes = jax.eval_shape(lambda: PARAMS)
    chex.assert_trees_all_equal_shapes_and_dtypes(optimizer.init(shapes), state)
    jax.jit(lambda state: state, donate_argnums=0)(state)  # no array is in it twice
