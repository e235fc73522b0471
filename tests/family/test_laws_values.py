"""The laws of values, for every penalty of the table in `cases/`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import Case, random_params, ravel
from laws import STEP, STRENGTH, every_case, every_finite_case


@every_case
@pytest.mark.usefixtures("x64")
def test_value_is_the_closed_form(case: Case):
    params = random_params(dtype=jnp.float64)
    np.testing.assert_allclose(case.make(STRENGTH)(params), case.total(params, STRENGTH), rtol=1e-13)


@every_finite_case
@pytest.mark.usefixtures("x64")
def test_value_grows_with_the_degree(case: Case):
    if case.degree is None:
        pytest.skip("not homogeneous")
    penalty, params = case.make(STRENGTH), random_params(dtype=jnp.float64)
    larger = jax.tree.map(lambda w: 3.0 * w, params)
    np.testing.assert_allclose(penalty(larger), 3.0**case.degree * penalty(params), rtol=1e-13)


@every_case
@pytest.mark.usefixtures("x64")
def test_signs_do_not_matter(case: Case):
    if not case.even:
        pytest.skip("not even")
    penalty, params = case.make(STRENGTH), random_params(dtype=jnp.float64)
    signs = jax.tree.map(lambda w: jnp.where(w > 0.3, -1.0, 1.0), random_params(1, jnp.float64))
    flipped = jax.tree.map(jnp.multiply, signs, params)
    np.testing.assert_allclose(penalty(flipped), penalty(params), rtol=1e-13)
    proxes = jax.tree.map(jnp.multiply, signs, penalty.prox(params, STEP))
    np.testing.assert_allclose(ravel(penalty.prox(flipped, STEP)), ravel(proxes), rtol=1e-13)


@every_case
@pytest.mark.usefixtures("x64")
def test_order_within_an_axis_does_not_matter(case: Case):
    if not case.exchangeable:
        pytest.skip("the order counts")
    penalty, params = case.make(STRENGTH), random_params(dtype=jnp.float64)
    for axis in (0, -1):
        turned = jax.tree.map(lambda w, axis=axis: jnp.roll(w, 1, axis), params)
        np.testing.assert_allclose(penalty(turned), penalty(params), rtol=1e-13)
        proxes = jax.tree.map(lambda w, axis=axis: jnp.roll(w, 1, axis), penalty.prox(params, STEP))
        np.testing.assert_allclose(ravel(penalty.prox(turned, STEP)), ravel(proxes), rtol=1e-13)


@every_finite_case
@pytest.mark.usefixtures("x64")
def test_a_multiple_has_a_multiple_of_the_value(case: Case):
    params = random_params(dtype=jnp.float64)
    value = 2.5 * case.make(STRENGTH)(params) if case.linear else case.total(params, 2.5 * STRENGTH)
    np.testing.assert_allclose((2.5 * case.make(STRENGTH))(params), value, rtol=1e-13)
    np.testing.assert_allclose((case.make(STRENGTH) * np.float32(2.5))(params), value, rtol=1e-13)


@every_case
@pytest.mark.usefixtures("x64")
def test_convex_penalty_lies_below_its_chords(case: Case):
    if not case.convex:
        pytest.skip("not convex")
    penalty, a, b = case.make(STRENGTH), random_params(1, jnp.float64), random_params(2, jnp.float64)
    middle = jax.tree.map(lambda x, y: 0.3 * x + 0.7 * y, a, b)
    assert penalty(middle) <= 0.3 * penalty(a) + 0.7 * penalty(b) + 1e-12
