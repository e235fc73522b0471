"""The laws at zero, at NaN and inf, and of dtypes, for every penalty of the table in `cases/`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import SHAPES, Case, elementwise, flat, groups, random_params
from laws import (
    STEP,
    STRENGTH,
    assert_same_bits,
    every_case,
    every_case_with_numbers,
    every_finite_case,
    half_zero_params,
    rows,
)

# Zero, NaN, inf


@every_case
def test_zero_is_a_fixed_point_with_gradient_zero(case: Case):
    if not case.holds_zero:
        pytest.skip("zero is none of its points")
    penalty, zero = case.make(STRENGTH), jax.tree.map(jnp.zeros_like, random_params())
    value, gradient = jax.value_and_grad(lambda w: penalty(w))(zero)
    assert value == 0
    assert_same_bits(gradient, zero)
    assert_same_bits(penalty.prox(zero, STEP), zero)


@every_case
@pytest.mark.usefixtures("x64")
def test_derivatives_of_the_prox_are_finite_at_zero(case: Case):
    penalty, params = case.make(STRENGTH), half_zero_params()

    @jax.jit
    def derivatives(w, v):
        tangent, pull = jax.vjp(lambda w: penalty.prox(w, STEP), w)
        return jax.jvp(lambda w: penalty.prox(w, STEP), (w,), (v,))[1], pull(tangent)[0]

    chex.assert_tree_all_finite(derivatives(params, random_params(5, jnp.float64)))


@every_finite_case
def test_zero_weights_among_others_have_gradient_zero(case: Case):
    if not case.local:
        pytest.skip("others pull at a zero weight")
    params = half_zero_params(jnp.float32)
    gradient = flat(jax.grad(case.make(STRENGTH))(params))
    for path, w in flat(params).items():
        np.testing.assert_array_equal(gradient[path][w == 0], 0)
        if case.selects(path) and not case.bounded:
            assert np.all(gradient[path][w != 0] != 0)


@every_case
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_do_not_vanish(case: Case, bad: float):
    penalty = case.make(STRENGTH)
    for path in SHAPES:
        owner, name = path.split("/")
        params = random_params()
        params[owner][name] = params[owner][name].at[(0,) * len(SHAPES[path])].set(bad)
        value, z = penalty(params), flat(penalty.prox(params, STEP))[path]
        if case.selects(path):
            assert np.isnan(value) if np.isnan(bad) else case.bounded or not np.isfinite(value)
            if np.isnan(bad):
                assert np.isnan(flat(jax.grad(penalty)(params))[path].ravel()[0])
        else:
            assert not np.isnan(value) if case.constraint else np.isfinite(value)
        if case.constraint:  # the nearest point to an infinite one may be finite, as with np.clip
            assert np.isnan(z.ravel()[0]) or not np.isnan(bad) or not case.selects(path)
        else:
            assert not np.isfinite(z.ravel()[0])


@every_case_with_numbers
def test_traced_negative_strength_gives_nan(case: Case):
    params = random_params()
    value, z = jax.jit(lambda s: (case.make(s)(params), case.make(s).prox(params, STEP)))(-0.1)
    assert np.isnan(value)
    for path, w in flat(z).items():
        assert np.all(np.isnan(w)) == case.selects(path)


@every_case
def test_traced_negative_step_gives_nan(case: Case):
    z = jax.jit(lambda t: case.make(STRENGTH).prox(random_params(), t))(-0.1)
    for path, w in flat(z).items():
        assert np.all(np.isnan(w)) == case.selects(path)


@every_case
@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_wrong_concrete_numbers_are_refused(case: Case, bad: float):
    if case.refuses and jax.tree.leaves(case.make(STRENGTH)):
        with pytest.raises(ValueError, match=case.refuses):
            case.make(bad)
    with pytest.raises(ValueError, match="step is"):
        case.make(STRENGTH).prox(random_params(), bad)


# Dtypes


@every_case
def test_float16_is_computed_in_float32(case: Case):
    assert_computed_in_float32(case, jnp.float16)


@pytest.mark.slow
@rows([*elementwise.CASES, *groups.CASES])
def test_bfloat16_is_computed_in_float32(case: Case):
    assert_computed_in_float32(case, jnp.bfloat16)


def assert_computed_in_float32(case: Case, dtype):
    penalty, params = case.make(STRENGTH), random_params(dtype=dtype, scale=1000.0)
    (value, gradient), z = jax.value_and_grad(penalty)(params), penalty.prox(params, STEP)
    assert (value.dtype, value.shape, value.weak_type) == (jnp.float32, (), False)
    np.testing.assert_allclose(value, case.total(params, STRENGTH), rtol=1e-6)
    wide = penalty.prox(jax.tree.map(lambda w: w.astype(jnp.float32), params), STEP)
    assert_same_bits(z, jax.tree.map(lambda w: w.astype(dtype), wide))
    chex.assert_tree_all_finite(z)
    assert not any(w.weak_type for w in jax.tree.leaves(z))
    assert {g.dtype for g in jax.tree.leaves(gradient)} == {jnp.dtype(dtype)}


@every_case
@pytest.mark.usefixtures("x64")
def test_float64_leaves_give_float64(case: Case):
    penalty, params = case.make(STRENGTH), random_params(dtype=jnp.float64)
    value, z = penalty(params), penalty.prox(params, STEP)
    assert (value.dtype, value.shape, value.weak_type) == (jnp.float64, (), False)
    assert {w.dtype for w in jax.tree.leaves(z)} == {jnp.dtype("float64")}


@every_case
@pytest.mark.usefixtures("x64")
def test_float32_leaves_stay_float32_under_x64(case: Case):
    penalty, params = case.make(np.float64(STRENGTH)), random_params()
    assert penalty(params).dtype == jnp.float32
    assert {w.dtype for w in jax.tree.leaves(penalty.prox(params, STEP))} == {jnp.dtype("float32")}
