"""Groups over coupled axes: value, prox and rule for zeros against matrices of gathered weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    Coupled,
    ElasticNet,
    Grouped,
    GroupLasso,
    LogSum,
    couplings,
    describe,
    from_config,
    optimality,
    strength_max,
)

from networks.residual import PARAMS, X, residual

UNITS = couplings(residual, PARAMS, X)


def gates(params, x):
    """Units with three positions each on one axis, beside others, and an output."""
    made = x @ params["w"] + params["b"][None]
    state = jnp.tanh(made[:, 5:8]) * made[:, :3] + made[:, 8:11]
    return state @ params["u"], jnp.tanh(made[:, 3:5]) @ params["v"], made[:, 11:]


def numbers(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), jnp.float32)


GATES = {"w": numbers(2, 13), "b": numbers(13), "v": numbers(2, 2), "u": numbers(3, 2)}


def matrices(units, tree):
    """For each class of units a matrix with all weights that make a unit as a column."""
    gathered = {}
    for found in units:
        rows = []
        for axis in found.axes:
            if axis.makes:
                lines = np.moveaxis(np.asarray(tree[axis.path]), axis.axis, -1).reshape(-1, axis.length)
                rows.extend(lines[:, positions] for positions in axis.positions.T)
        gathered[found.name] = jnp.asarray(np.concatenate(rows))
    return gathered


def close(one, other):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-6, atol=1e-7), one, other)


NETWORKS = {"residual": (residual, PARAMS, X), "gates": (gates, GATES, jnp.ones((1, 2)))}


PHIS = [
    L1(0.3),
    pytest.param(MCP(0.3, gamma=4.0), marks=pytest.mark.slow),
    pytest.param(LogSum(0.3, epsilon=1.0), marks=pytest.mark.slow),
    pytest.param(L2(0.3), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    fn, params, x = NETWORKS[request.param]
    return params, couplings(fn, params, x)


def like(params, seed):
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=w.shape), w.dtype) for name, w in params.items()}


class TestAgainstMatrices:
    """Weights gathered into matrices by NumPy, and the groups of one leaf on them."""

    @pytest.mark.parametrize("phi", PHIS, ids=str)
    def test_all_of_it(self, phi, network):
        params, units = network
        ours, theirs = Coupled(phi, units), Grouped(phi)
        gathered = matrices(units, params)
        np.testing.assert_allclose(ours(params), theirs(gathered), rtol=1e-6)
        close(matrices(units, jax.grad(ours)(params)), jax.grad(theirs)(gathered))
        new = ours.prox(params, 0.5)
        close(matrices(units, new), theirs.prox(gathered, 0.5))

        dead = ours.prox(params, 2.0)  # a point with kinks
        grads, moved = like(params, 1), like(params, 2)
        direction = ours.subgradient(dead, grads)
        theirs_at, theirs_moved = matrices(units, dead), matrices(units, moved)
        close(matrices(units, direction), theirs.subgradient(theirs_at, matrices(units, grads)))
        settled = ours.settle(dead, moved, direction)
        expected = theirs.settle(theirs_at, theirs_moved, matrices(units, direction))
        close(matrices(units, settled), expected)

    def test_weights_in_no_unit_stay(self):
        units = couplings(gates, GATES, jnp.ones((1, 2)))
        penalty = Coupled(L1(100.0), units)
        new = penalty.prox(GATES)
        np.testing.assert_array_equal(new["w"][:, :11], 0)
        np.testing.assert_array_equal(new["w"][:, 11:], GATES["w"][:, 11:])
        np.testing.assert_array_equal(new["u"], GATES["u"])
        grads = like(GATES, 1)
        direction = penalty.subgradient(new, grads)
        np.testing.assert_array_equal(direction["w"][:, 11:], grads["w"][:, 11:])
        np.testing.assert_array_equal(penalty.settle(new, grads, direction)["w"][:, 11:], grads["w"][:, 11:])

    def test_one_kernel_alone_is_the_group_lasso(self):
        params = {"w": numbers(3, 5), "v": numbers(5, 2)}
        units = couplings(lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], params, jnp.ones((1, 3)))
        ours, theirs = Coupled(L1(0.2), units), GroupLasso(0.2).on("w")
        assert ours(params) == theirs(params)
        np.testing.assert_array_equal(ours.prox(params, 3.0)["w"], theirs.prox(params, 3.0)["w"])


@pytest.mark.slow
@pytest.mark.parametrize("other", [L1(0.2), L1(0.2).on("up*")], ids=str)
def test_sparse_groups(other):
    """A prox leads to where 0 ∈ z − v + ∂R(z), of a sum as well."""
    penalty = Coupled(L1(0.1), UNITS) + other
    new = penalty.prox(PARAMS)
    assert 0 < float(jnp.mean(new["up1"] == 0)) < 1
    rest = jax.tree.map(jnp.subtract, new, PARAMS)
    assert optimality(penalty, new, rest).norm < 1e-5
    np.testing.assert_allclose(penalty(PARAMS), Coupled(L1(0.1), UNITS)(PARAMS) + other(PARAMS), rtol=1e-6)
    settled = penalty.settle(new, jax.tree.map(jnp.negative, new), rest)
    assert all(np.all(np.asarray(settled[name]) == 0) for name in ("up1", "scale1", "embed"))


def test_smooth_terms_beside():
    penalty = Coupled(L1(0.1), UNITS) + L2(0.2)
    grads = like(PARAMS, 1)
    with_l2 = jax.tree.map(lambda w, g: g + 0.4 * w, PARAMS, grads)
    expected = Coupled(L1(0.1), UNITS).subgradient(PARAMS, with_l2)
    close(penalty.subgradient(PARAMS, grads), expected)
    with pytest.raises(TypeError, match=r"Coupled\(ElasticNet"):
        penalty.prox(PARAMS)
    inside = Coupled(ElasticNet(0.1, 0.2), UNITS)
    np.testing.assert_allclose(inside.prox(PARAMS)["up1"], jax.jit(inside.prox)(PARAMS)["up1"], rtol=1e-6)


def test_selections_leave_weights_out_of_their_groups():
    penalty = Coupled(L1(0.3), UNITS).on(exclude=("scale*", "shift*", "bias*"))
    kernels = {name: w for name, w in PARAMS.items() if w.ndim > 1}
    expected = GroupLasso(0.3)(jnp.concatenate([kernels["embed"], kernels["down1"], kernels["down2"]]))
    expected += GroupLasso(0.3).on("up*")(kernels)
    np.testing.assert_allclose(penalty(PARAMS), expected, rtol=1e-6)
    np.testing.assert_array_equal(penalty.prox(PARAMS, 100.0)["scale1"], PARAMS["scale1"])


def test_strengths_of_classes():
    one, two = UNITS["up1 axis 1"], UNITS["up2 axis 1"]
    penalty = Coupled(L1(0.1), one) + Coupled(L1(0.2), [two])
    expected = Coupled(L1(0.1), [one, two])(PARAMS) + Coupled(L1(0.1), two)(PARAMS)
    np.testing.assert_allclose(penalty(PARAMS), expected, rtol=1e-6)
    np.testing.assert_allclose((2 * penalty)(PARAMS), 2 * expected, rtol=1e-6)


def test_vmap_and_jit_over_strengths():
    strengths = jnp.array([0.0, 0.1, 10.0])
    values, new = jax.vmap(lambda s: (Coupled(L1(s), UNITS)(PARAMS), Coupled(L1(s), UNITS).prox(PARAMS)))(
        strengths
    )
    for i, strength in enumerate(strengths):
        np.testing.assert_allclose(values[i], Coupled(L1(strength), UNITS)(PARAMS), rtol=1e-6)
    np.testing.assert_allclose(new["up1"][0], PARAMS["up1"], rtol=1e-6)
    assert not np.any(new["up1"][2])


def test_dtypes_stay():
    params = PARAMS | {"up1": PARAMS["up1"].astype(jnp.bfloat16)}
    penalty = Coupled(L1(0.1), UNITS)
    new = penalty.prox(params)
    assert {name: w.dtype for name, w in new.items()} == {name: w.dtype for name, w in params.items()}
    np.testing.assert_allclose(penalty(params), penalty(PARAMS), rtol=1e-2)


def test_config_equality_and_text():
    penalty = Coupled(MCP(0.1, gamma=4.0), UNITS)
    assert from_config(penalty.to_config()) == penalty
    assert hash(from_config(penalty.to_config())) == hash(penalty)
    assert penalty != Coupled(MCP(0.1, gamma=4.0), UNITS[1:])
    assert repr(Coupled(L1(0.1), UNITS)) == "Coupled(L1(0.1), 28 units in 3 classes)"
    assert repr(Coupled(L1(0.1), UNITS[0])) == "Coupled(L1(0.1), 8 units in 1 class)"


class TestErrors:
    """What is refused, and what to do."""

    def test_params_of_another_network(self):
        penalty = Coupled(L1(0.1), UNITS)
        with pytest.raises(ValueError, match="no leaf 'scale1', which makes the units 'up1 axis 1'"):
            penalty({name: w for name, w in PARAMS.items() if name != "scale1"})
        with pytest.raises(ValueError, match=r"'up1' has shape \(8, 9\), and axis 1 had length 10"):
            penalty(PARAMS | {"up1": jnp.ones((8, 9))})

    def test_what_is_no_penalty_of_sizes(self):
        with pytest.raises(TypeError, match="expected one penalty of sizes"):
            Coupled(GroupLasso(0.1), UNITS)

    @pytest.mark.parametrize("units", ["up1", 3, [3], [("a", 1)]], ids=str)
    def test_what_are_no_units(self, units):
        with pytest.raises(TypeError, match="the units"):
            Coupled(L1(0.1), units)

    def test_no_units(self):
        with pytest.raises(ValueError, match="there are no units"):
            Coupled(L1(0.1), couplings(lambda p, x: x * p, jnp.ones(3), jnp.ones(3)))

    def test_heads_and_what_is_within_them_overlap(self):
        params = {"q": numbers(4, 2, 3), "o": numbers(2, 3, 4)}

        def heads(p, x):
            return jnp.einsum("bhd,hdo->bo", jnp.tanh(jnp.einsum("bi,ihd->bhd", x, p["q"])), p["o"])

        units = couplings(heads, params, jnp.ones((1, 4)))
        assert len(units) == 2
        with pytest.raises(ValueError, match="take one of the two classes"):
            Coupled(L1(0.1), units)
        np.testing.assert_allclose(
            Coupled(L1(0.1), units["q axis 1"])(params), GroupLasso(0.1, axis=1)(params["q"]), rtol=1e-6
        )

    def test_strengths_that_vary_within_a_unit(self):
        with pytest.raises(ValueError, match="give one number"):
            Coupled(L1(jnp.ones(8)), UNITS)(PARAMS)
        with pytest.raises(ValueError, match="give one number"):
            Coupled(L1(0.1), UNITS).prox(PARAMS, jax.tree.map(jnp.ones_like, PARAMS))

    def test_two_on_one_leaf(self):
        with pytest.raises(TypeError, match="two penalties of several leaves together"):
            (Coupled(L1(0.1), UNITS) + Coupled(L1(0.1), UNITS[1]))(PARAMS)
        with pytest.raises(TypeError, match="no prox in closed form"):
            (Coupled(L1(0.1), UNITS) + GroupLasso(0.1).on("up1")).prox(PARAMS)
        with pytest.raises(TypeError, match="no rule for zeros in closed form"):
            (Coupled(L1(0.1), UNITS) + GroupLasso(0.1).on("up1")).subgradient(PARAMS, PARAMS)

    def test_gradients_that_lack_a_leaf(self):
        grads = {name: w for name, w in PARAMS.items() if name != "shift2"}
        with pytest.raises(ValueError, match=r"lacks the leaves \['shift2'\]"):
            Coupled(L1(0.1), UNITS).subgradient(PARAMS, grads)

    def test_what_works_leaf_by_leaf(self):
        with pytest.raises(TypeError, match="is of several leaves together"):
            Coupled(L1(0.1), UNITS).around(PARAMS)(PARAMS)


@pytest.mark.slow
def test_the_strength_at_which_all_units_are_zero():
    grads = matrices(UNITS, PARAMS)
    expected = max(float(jnp.max(jnp.sqrt(jnp.mean(g**2, 0)))) for g in grads.values())
    np.testing.assert_allclose(strength_max(Coupled(L1(1.0), UNITS), PARAMS), expected, rtol=1e-6)
    both = Coupled(L1(1.0), UNITS) + L1(1.0).on("up*")
    assert strength_max(both, PARAMS) < expected


def test_described_leaf_by_leaf():
    penalty = Coupled(L1(0.1), UNITS) + L1(0.2).on("up1")
    described = describe(penalty, PARAMS)
    np.testing.assert_allclose(described.total, penalty(PARAMS), rtol=1e-6)
    assert described["up1"]["penalty"] == "Coupled(L1(0.1), 28 units in 3 classes) + L1(0.2)"
    assert described["head"]["penalty"] is None


def test_a_square_kernel_makes_units_along_one_of_its_axes():
    """A recurrent kernel has units on both: its columns make them, its rows read them."""
    params = {"i": numbers(3, 4), "h": numbers(4, 4), "o": numbers(4, 2)}

    def recurrent(p, x):
        def step(h, x):
            return jnp.tanh(x @ p["i"] + h @ p["h"]), None

        return jax.lax.scan(step, jnp.zeros(4), x)[0] @ p["o"]

    penalty = Coupled(L1(0.1), couplings(recurrent, params, jnp.ones((5, 3))))
    expected = GroupLasso(0.1)(jnp.concatenate([params["i"], params["h"]]))
    np.testing.assert_allclose(penalty(params), expected, rtol=1e-6)
