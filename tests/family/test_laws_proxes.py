"""The laws of proxes, for every penalty of the table in `cases/`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import SHAPES, Case, flat, random_params, ravel, tree
from laws import (
    STEP,
    STRENGTH,
    assert_same_bits,
    every_case,
    every_convex_case,
    every_finite_case,
    objective,
    seeds,
    unravel_np,
)


@every_case
@pytest.mark.usefixtures("x64")
@given(seed=seeds(), scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_prox_beats_nearby_points(case: Case, seed: int, scale: float):
    v = random_params(seed, jnp.float64, scale)
    z = case.make(STRENGTH).prox(v, STEP)
    best = objective(case, z, v, STEP)
    rng = np.random.default_rng(seed)
    at = ravel(z)
    for size in (1e-6, 1e-3, 1e-1, 1.0):
        for _ in range(5):
            near = at + size * rng.normal(size=at.size) * (rng.random(at.size) < 0.5)
            assert best <= objective(case, unravel_np(near), v, STEP) + 1e-12
    # A step towards 0, towards v, and one weight moved at a time.
    towards = [0.99 * at, np.zeros_like(at), 0.99 * at + 0.01 * ravel(v)]
    one_by_one = [at + sign * 1e-3 * np.eye(at.size)[i] for i in range(at.size) for sign in (-1, 1)]
    for near in towards + one_by_one:
        assert best <= objective(case, unravel_np(near), v, STEP) + 1e-12


@every_case
@pytest.mark.usefixtures("x64")
def test_prox_of_one_weight_is_found_by_brute_force(case: Case):
    if not case.grid:
        pytest.skip("not for one weight, or not to be found on a grid")
    penalty = case.make(STRENGTH)
    for v in (-2.5, -0.4, -0.05, 0.0, 0.2, 0.6, 1.0, 3.0):
        one = {path: np.full((1,) * len(shape), v) for path, shape in SHAPES.items()}
        z = flat(penalty.prox(tree({path: jnp.asarray(w) for path, w in one.items()}), STEP))
        for path, w in one.items():

            def cost(x, path=path, w=w):
                return STEP * case.value(path, np.full(w.shape, x), STRENGTH) + 0.5 * (x - v) ** 2  # noqa: B023

            low, high = -abs(v) - 1, abs(v) + 1
            for _ in range(3):
                grid = np.append(np.linspace(low, high, 301), 0.0)  # which costs nothing in L0, and it alone
                best = grid[np.argmin([cost(x) for x in grid])]
                low, high = best - (high - low) / 300, best + (high - low) / 300
            assert abs(float(z[path].squeeze()) - best) < 1e-5
            assert cost(float(z[path].squeeze())) <= cost(best) + 1e-12


@every_finite_case
@pytest.mark.usefixtures("x64")
def test_moreau_identity(case: Case):
    if case.dual is None:
        pytest.skip("no closed form of the conjugate's prox")
    for scale in (0.2, 1.0, 4.0):
        v = random_params(3, jnp.float64, scale)
        z = flat(case.make(STRENGTH).prox(v, STEP))
        for path, w in flat(v).items():
            np.testing.assert_allclose(z[path], w - case.dual(path, w, STEP * STRENGTH), atol=1e-14)


@every_convex_case
@pytest.mark.usefixtures("x64")
@given(seed=seeds(), scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_prox_is_firmly_nonexpansive(case: Case, seed: int, scale: float):
    penalty = case.make(STRENGTH)
    v, w = random_params(seed, jnp.float64, scale), random_params(seed + 1, jnp.float64)
    apart = ravel(penalty.prox(v, STEP)) - ravel(penalty.prox(w, STEP))
    assert apart @ apart <= apart @ (ravel(v) - ravel(w)) + 1e-12


@every_finite_case
@pytest.mark.usefixtures("x64")
def test_prox_scales_with_the_degree(case: Case):
    if case.degree is None:
        pytest.skip("not homogeneous")
    penalty, v = case.make(STRENGTH), random_params(dtype=jnp.float64)
    scaled = penalty.prox(jax.tree.map(lambda w: 2.0 * w, v), STEP)
    np.testing.assert_allclose(
        ravel(scaled), 2.0 * ravel(penalty.prox(v, 2.0 ** (case.degree - 2) * STEP)), rtol=1e-13
    )


@every_case
@pytest.mark.usefixtures("x64")
def test_step_and_strength_multiply(case: Case):
    if not case.linear:
        pytest.skip("not linear in the strength")
    v = random_params(dtype=jnp.float64)
    once = case.make(STRENGTH).prox(v, 2 * STEP)
    np.testing.assert_allclose(ravel(once), ravel((2 * case.make(STRENGTH)).prox(v, STEP)), rtol=1e-13)


@every_case
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_step_zero_changes_nothing_but_a_constraint_holds(case: Case, scale: float):
    penalty, params = case.make(STRENGTH), random_params(scale=scale)
    # A constraint holds after every step, and the step says nothing.
    assert_same_bits(penalty.prox(params, 0), penalty.prox(params, STEP) if case.constraint else params)


@every_finite_case
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_strength_zero_changes_nothing(case: Case, scale: float):
    params = random_params(scale=scale)
    assert case.make(0)(params) == 0
    assert_same_bits(case.make(0.0).prox(params, STEP), params)


@every_finite_case
def test_large_step_reaches_exact_zeros_where_there_is_a_kink(case: Case):
    if not case.kink_stays:
        pytest.skip("the last weight of a group has no kink")
    z = flat(case.make(STRENGTH).prox(random_params(), 1e6))
    for path, w in z.items():
        if case.has_kink(path):
            assert np.all(w == 0)
        else:
            assert np.all(w != 0)


@every_case
def test_unselected_leaves_are_the_same_objects(case: Case):
    params = random_params()
    z = case.make(STRENGTH).prox(params, STEP)
    for path in SHAPES:
        owner, name = path.split("/")
        assert (z[owner][name] is params[owner][name]) == (not case.selects(path))


@every_case
def test_params_are_not_changed_in_place(case: Case):
    params, before = random_params(), flat(random_params())
    case.make(STRENGTH).prox(params, STEP)
    for path, w in flat(params).items():
        np.testing.assert_array_equal(w, before[path])


@every_case
@pytest.mark.usefixtures("x64")
def test_each_leaf_may_have_its_own_step(case: Case):
    penalty, v = case.make(STRENGTH), random_params(dtype=jnp.float64)
    mixed = penalty.prox(v, {"dense": 0.2, "scan": {"kernel": jnp.asarray(0.9)}})
    assert_same_bits(mixed["dense"], penalty.prox(v, 0.2)["dense"])
    assert_same_bits(mixed["scan"], penalty.prox(v, 0.9)["scan"])


@every_case
@pytest.mark.usefixtures("x64")
def test_each_weight_may_have_its_own_step(case: Case):
    if not case.separable:
        pytest.skip("weights of a group share a step")
    penalty, v = case.make(STRENGTH), random_params(dtype=jnp.float64)
    chosen = jax.tree.map(lambda w: w > 0, random_params(1, jnp.float64))
    mixed = penalty.prox(v, jax.tree.map(lambda c: jnp.where(c, 0.2, 0.9), chosen))
    expected = jax.tree.map(jnp.where, chosen, penalty.prox(v, 0.2), penalty.prox(v, 0.9))
    np.testing.assert_allclose(ravel(mixed), ravel(expected), rtol=1e-14)
