"""The laws of projections, for every constraint of the table in `cases/`."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from penalties import from_config

from cases import flat, random_params
from laws import STRENGTH, assert_same_bits, every_constraint, seeds


@every_constraint
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_a_projection_is_in_the_set(case, dtype, scale):
    constraint, params = case.make(STRENGTH), random_params(1, dtype, scale)
    assert constraint(params) == np.inf
    assert constraint(constraint.prox(params)) == 0


@every_constraint
@given(seed=seeds())
def test_what_is_in_the_set_stays_bit_for_bit(case, seed):
    constraint = case.make(STRENGTH)
    inside = constraint.prox(random_params(seed))
    assert_same_bits(constraint.prox(inside), inside)


@every_constraint
@pytest.mark.usefixtures("x64")
@given(seed=seeds())
def test_no_point_of_the_set_is_nearer(case, seed):
    constraint, v = case.make(STRENGTH), random_params(seed, jnp.float64, 2.0)
    z, other = constraint.prox(v), constraint.prox(random_params(seed + 1, jnp.float64))
    assert case.total(z, STRENGTH) == case.total(other, STRENGTH) == 0
    near = constraint.prox(jax.tree.map(lambda z, o: 0.99 * z + 0.01 * o, z, other))
    for point in (other, near):
        for path, w in flat(v).items():
            distance = np.sum((flat(z)[path] - w) ** 2)
            assert distance <= np.sum((flat(point)[path] - w) ** 2) + 1e-12


@every_constraint
@pytest.mark.usefixtures("x64")
def test_a_convex_set_holds_its_chords(case):
    if not case.convex:
        pytest.skip("not convex")
    constraint = case.make(STRENGTH)
    a, b = (constraint.prox(random_params(seed, jnp.float64)) for seed in (1, 2))
    assert constraint(jax.tree.map(lambda x, y: 0.3 * x + 0.7 * y, a, b)) == 0


@every_constraint
def test_value_is_zero_or_infinite_and_its_gradient_zero(case):
    constraint = case.make(STRENGTH)
    for params, value in ((random_params(), np.inf), (constraint.prox(random_params()), 0)):
        found, gradient = jax.jit(jax.value_and_grad(lambda w: 2 * constraint(w)))(params)
        assert found == value
        assert all(np.all(g == 0) for g in flat(gradient).values())
    for factor in (2, 0, 0.5):
        assert factor * constraint == constraint / 2 == constraint


@every_constraint
@pytest.mark.usefixtures("x64")
def test_derivatives_of_the_projection_are_finite_differences(case):
    constraint, params, h = case.make(STRENGTH), random_params(3, jnp.float64), 1e-6
    tangent = random_params(4, jnp.float64)
    _, slope = jax.jit(lambda w, d: jax.jvp(constraint.prox, (w,), (d,)))(params, tangent)
    up, down = (constraint.prox(jax.tree.map(lambda w, d: w + s * h * d, params, tangent)) for s in (1, -1))  # noqa: B023
    for path, found in flat(slope).items():
        finite = (flat(up)[path] - flat(down)[path]) / (2 * h)
        np.testing.assert_allclose(found, finite, atol=1e-7)
    _, pull = jax.vjp(constraint.prox, params)
    there = sum(np.sum(flat(slope)[p] * w) for p, w in flat(tangent).items())
    here = sum(np.sum(flat(pull(tangent)[0])[p] * w) for p, w in flat(tangent).items())
    np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-12)


@every_constraint
def test_a_copy_is_the_same_constraint(case):
    constraint = case.make(0.1)
    assert pickle.loads(pickle.dumps(constraint)) == from_config(constraint.to_config()) == constraint
    assert hash(pickle.loads(pickle.dumps(constraint))) == hash(constraint)
