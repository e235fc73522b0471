"""Penalties made of others: around pretrained weights, of a function, smoothed, conjugate."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import (
    L1,
    L2,
    ElasticNet,
    GroupLasso,
    Huber,
    Nuclear,
    SettlingPenalty,
    TotalVariation,
    add_penalty,
    from_config,
    kernels,
    penalized,
)

RNG = np.random.default_rng(0)
START = {"kernel": RNG.normal(size=(4, 3)).astype(np.float32), "bias": np.ones(3, np.float32)}
PARAMS = jax.tree.map(lambda w: w + RNG.normal(size=w.shape).astype(np.float32), START)


def away(params):
    return jax.tree.map(jnp.subtract, params, START)


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3), GroupLasso(0.2) + L1(0.1), L1(0.3).on("kernel")])
def test_around_is_the_penalty_of_the_difference(penalty):
    around = penalty.around(START)
    assert isinstance(around, SettlingPenalty)
    np.testing.assert_allclose(around(PARAMS), penalty(away(PARAMS)), rtol=1e-6)
    expected = jax.tree.map(jnp.add, START, penalty.prox(away(PARAMS), 0.5))
    for new, value in zip(jax.tree.leaves(around.prox(PARAMS, 0.5)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(new, value, atol=1e-6)
    far = around.prox(PARAMS, 1e6)["kernel"]
    if penalty.kink:
        np.testing.assert_array_equal(far, START["kernel"])
    np.testing.assert_allclose((2 * around)(PARAMS), 2 * around(PARAMS), rtol=1e-6)
    np.testing.assert_array_equal(around.prox(PARAMS, 0)["kernel"], PARAMS["kernel"])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_weights_become_exactly_those_they_start_from(dtype):
    start = jnp.asarray([0.3, -1.7, 2.1, 0.01, -5.3]).astype(dtype)
    target = start + jnp.asarray([0.9, 0.01, -0.02, -2.0, 0.03]).astype(dtype)
    optimizer = penalized(optax.sgd(0.1, momentum=0.5), L1(0.1).around(np.asarray(start, np.float32)))

    @jax.jit
    def step(w, state):
        updates, state = optimizer.update(w - target, state, w)
        return optax.apply_updates(w, updates), state

    w = start + jnp.asarray([-3.0, 1.0, -4.0, 7.0, 2.0]).astype(dtype)
    state = optimizer.init(w)
    for _ in range(150):
        w, state = step(w, state)
    assert (w == start).tolist() == [False, True, True, False, True]
    expected = np.asarray(target, np.float32)[[0, 3]] - np.array([0.1, -0.1], np.float32)
    np.testing.assert_allclose(np.asarray(w, np.float32)[[0, 3]], expected, rtol=0.05)


def test_around_is_written_down_and_read_back():
    penalty = (L1(0.5) + L2(0.25)).around({"w": jnp.array([1.0, -0.5])})
    again = from_config(json.loads(json.dumps(penalty.to_config())))
    assert again == penalty
    assert isinstance(again, SettlingPenalty)


def test_around_needs_a_tree_like_params():
    with pytest.raises(ValueError, match="nothing to be around"):
        L1(1.0).around({"steps": 3, "none": None})
    with pytest.raises(ValueError, match=r"Around.center has an array of shape \(3,\) for the leaf 'a'"):
        L1(1.0).around({"a": jnp.ones(3)})({"a": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"no entry for the leaf .a.|no leaf or branch of params"):
        L1(1.0).around({"b": jnp.ones(3)})({"a": jnp.ones(3)})
    with pytest.raises(ValueError, match="all must be finite"):
        L1(1.0).around(jnp.array([1.0, jnp.nan]))
    with pytest.raises(TypeError, match="no rule for zeros"):
        (L1(1.0) + L1(1.0).around(jnp.ones(2))).subgradient(jnp.ones(2), jnp.ones(2))


def test_of_a_function_of_all_params():
    params = {"u": jnp.ones((2, 3)), "v": 2 * jnp.ones((3, 2))}
    product = Nuclear(0.5).of(lambda p: p["u"] @ p["v"])
    penalty = 2 * product + L2(0.25).on("u")
    np.testing.assert_allclose(penalty(params), 2 * 0.5 * np.linalg.norm(np.full((2, 2), 6.0), "nuc") + 1.5)
    gradient = jax.grad(penalty)(params)
    np.testing.assert_allclose(gradient["v"], 0.5 * 2 * np.full((3, 2), 1.0), rtol=1e-5)
    for refused in (
        lambda: product.prox(params),
        lambda: penalized(optax.sgd(0.1), product),
        lambda: add_penalty(product).update(params, add_penalty(product).init(params), params),
        lambda: product.on("u")(params),
    ):
        with pytest.raises(TypeError, match=r"use it in a loss|is given all params"):
            refused()
    with pytest.raises(TypeError, match=r"\(L1\(1.0\)\).of\(sqrt\) cannot be written to a config"):
        (L1(1.0).of(jnp.sqrt) + L1(1.0)).to_config()


def test_smoothed_l1_is_huber():
    params = away(PARAMS)
    np.testing.assert_allclose(L1(2.0).smoothed(0.5)(params), Huber(2.0, delta=1.0)(params), rtol=1e-6)


@pytest.mark.parametrize(
    "penalty",
    [
        L1(0.2) + L2(0.1),
        pytest.param(ElasticNet(0.3, 0.2), marks=pytest.mark.slow),
        pytest.param(TotalVariation(0.7), marks=pytest.mark.slow),
        pytest.param(Nuclear(0.7).on(kernels), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_smoothed_is_the_moreau_envelope(penalty):
    params, smoothed = away(PARAMS), penalty.smoothed(0.4)
    gradient, z = jax.grad(smoothed)(params), penalty.prox(params, 0.4)
    np.testing.assert_allclose(gradient["kernel"], (params["kernel"] - z["kernel"]) / 0.4, atol=1e-5)
    apart = sum(float(jnp.sum((a - b) ** 2)) for a, b in zip(*map(jax.tree.leaves, (params, z)), strict=True))
    np.testing.assert_allclose(smoothed(params), penalty(z) + apart / 0.8, rtol=1e-5)
    # A point is the prox of the envelope where v = z + t·∇M(z).
    new = (2 * smoothed).prox(params, 0.3)
    back = new["kernel"] + 0.6 * jax.grad(smoothed)(new)["kernel"]
    np.testing.assert_allclose(back, params["kernel"], atol=1e-5)


def test_conjugate_by_moreau():
    v = jnp.asarray(PARAMS["kernel"])
    np.testing.assert_allclose(L1(0.5).conjugate().prox(v, 3.0), jnp.clip(v, -0.5, 0.5), atol=1e-6)
    nuclear = Nuclear(0.5).conjugate().prox(v)
    np.testing.assert_allclose(np.linalg.norm(nuclear, 2), 0.5, rtol=1e-5)
    twice = L2(0.3).conjugate().conjugate()
    np.testing.assert_allclose(twice.prox(v, 0.7), L2(0.3).prox(v, 0.7), rtol=1e-5)
    quadratic = 2 * L2(0.3).conjugate()  # of λw² it is y²/(4λ)
    np.testing.assert_allclose(quadratic.prox(v, 0.7), v / (1 + 2 * 0.7 / (2 * 0.3)), rtol=1e-5)
    with pytest.raises(TypeError, match="a prox and no value"):
        L1(0.5).conjugate()(v)
