"""GloballySparse on several leaves: a stable sort as oracle, ties, training, sums, and bad input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, GloballySparse, NonNegative, from_config, functional, penalized, proximal

from cases import random_params
from laws import assert_same_bits

SHAPES = {"a": (3, 2), "b": (4,), "c": (2, 2, 2)}


def integers(seed):
    """Weights of which many are equal."""
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.integers(-3, 4, shape), jnp.float32) for name, shape in SHAPES.items()}


def kept_by_sorting(params, count):
    """Stable: of equal weights the first."""
    flat = np.concatenate([np.ravel(w) for w in params.values()])
    kept = np.zeros(flat.size, bool)
    kept[np.argsort(-np.abs(flat), kind="stable")[:count]] = True
    ends = np.cumsum([w.size for w in params.values()])[:-1]
    return {
        name: np.where(k.reshape(w.shape), w, 0)
        for (name, w), k in zip(params.items(), np.split(kept, ends), strict=True)
    }


@pytest.mark.parametrize("count", [0, 7, 18])
def test_the_largest_of_all_leaves_are_kept_and_of_equal_ones_the_first(count):
    constraint = GloballySparse(count)
    prox = jax.jit(constraint.prox)
    for params in (integers(0), integers(1), jax.tree.map(jnp.ones_like, integers(0))):
        z = prox(params)
        assert_same_bits(z, jax.tree.map(jnp.asarray, kept_by_sorting(params, count)))
        assert constraint(z) == 0
    assert constraint(jax.tree.map(jnp.ones_like, params)) == (0 if count == 18 else np.inf)


def test_no_set_of_weights_is_nearer():
    params = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([[0.5, 3.0, -1.5]])}
    flat = np.array([1.0, -2.0, 0.5, 3.0, -1.5])
    z = functional.project_globally_sparse(params, 2)
    distance = sum(float(jnp.sum((z[name] - params[name]) ** 2)) for name in params)
    sets = itertools.combinations(range(5), 2)
    assert distance == min(float(np.sum(flat[list(set(range(5)) - set(s))] ** 2)) for s in sets)


def test_leaves_of_several_dtypes_are_compared_as_they_are():
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([1.5, 2.5], jnp.bfloat16), "c": jnp.array([0, 3j])}
    z = GloballySparse(3).prox(params)
    assert {name: w.dtype for name, w in z.items()} == {name: w.dtype for name, w in params.items()}
    assert [w.tolist() for w in z.values()] == [[0, 2], [0, 2.5], [0, 3j]]


def test_nan_counts_and_stays():
    params = {"a": jnp.array([1.0, jnp.nan]), "b": jnp.array([2.0, 3.0])}
    assert np.isnan(GloballySparse(4)(params))
    assert [np.isnan(w).tolist() for w in GloballySparse(0).prox(params).values()] == [[0, 1], [0, 0]]


def test_the_rest_and_leaves_with_a_count_of_their_own():
    params = random_params()
    constraint = GloballySparse(2).on("dense/*") + GloballySparse(3).on("scan/*")
    z = constraint.prox(params)
    assert sum(int(jnp.sum(w != 0)) for w in jax.tree.leaves(z["dense"])) == 2
    assert int(jnp.sum(z["scan"]["kernel"] != 0)) == 3
    assert from_config(constraint.to_config()) == constraint
    alone = GloballySparse(2).on("dense/*").prox(params)
    assert alone["scan"]["kernel"] is params["scan"]["kernel"]


def test_negative_weights_go_first_where_they_must():
    params = {"a": jnp.array([-5.0, 1.0]), "b": jnp.array([-4.0, 0.5])}
    z = (GloballySparse(2) + NonNegative().on("a")).prox(params)
    assert [w.tolist() for w in z.values()] == [[0, 1], [-4, 0]]
    for other in (L1(0.1), L2(0.1)):
        with pytest.raises(TypeError, match=r"the sum of GloballySparse\(2\) and .* has no prox"):
            (GloballySparse(2) + other.on("b")).prox(params)


def test_it_trains_by_projections():
    target = jnp.array([3.0, -0.1, 0.2]), jnp.array([[0.3], [-2.0]])
    optimizer = optax.chain(optax.sgd(0.2), proximal(GloballySparse(2)))
    params = jax.tree.map(jnp.zeros_like, target)

    @jax.jit
    def step(params, state):
        grads = jax.tree.map(jnp.subtract, params, target)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(60):
        params, state = step(params, state)
    np.testing.assert_allclose(params[0], [3, 0, 0], atol=1e-4)
    np.testing.assert_allclose(params[1], [[0], [-2]], atol=1e-4)
    with pytest.raises(TypeError, match=r"proximal\(constraint\)"):
        penalized(optax.sgd(0.1), GloballySparse(2))


def test_bad_input_is_named():
    params = integers(0)
    for make, message in (
        (lambda: GloballySparse(-1), r"GloballySparse\.count is -1: expected an int ≥ 0"),
        (lambda: GloballySparse(19).prox(params), r"GloballySparse\(19\) on 3 leaves of 18 weights together"),
        (lambda: GloballySparse(19)(params), r"expected a count of at most that many"),
        (lambda: GloballySparse(2).prox(params, {"a": 0.1, "b": 0.2, "c": 0.3}), "step varies among leaves"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    huge = {"a": jax.ShapeDtypeStruct((2**16, 2**15), jnp.float32)}
    with pytest.raises(ValueError, match="2,147,483,648 weights together: expected at most 2,147,483,647"):
        jax.eval_shape(GloballySparse(2), huge)
