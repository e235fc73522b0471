"""The laws that every penalty of the table in `cases/` keeps."""

import copy
import json
import pickle
import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penalties import L1, Penalty, SettlingPenalty, from_config
from penalties._penalty import evaluation

from cases import CASES, SHAPES, Case, flat, random_params, ravel, tree, unravel

STRENGTH, STEP = 0.3, 0.7

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_convex_case = pytest.mark.parametrize("case", [c for c in CASES if c.convex], ids=str)
every_settling_case = pytest.mark.parametrize(
    "case", [c for c in CASES if isinstance(c.make(STRENGTH), SettlingPenalty)], ids=str
)


def seeds():
    return st.integers(0, 2**32 - 1)


def objective(case: Case, z, v, step: float) -> float:
    return step * case.total(z, STRENGTH) + 0.5 * float(np.sum((ravel(z) - ravel(v)) ** 2))


def assert_same_bits(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(y, np.float64))


def half_zero_params(dtype=jnp.float64):
    """Weights of which some are zero, and some whole groups."""
    leaves = flat(random_params(0, dtype))
    leaves["dense/kernel"][:, 0] = leaves["dense/kernel"][1, 1] = 0
    leaves["scan/kernel"][:, :, 1] = leaves["scan/kernel"][0, 1, 0] = 0
    return tree({path: jnp.asarray(w, dtype) for path, w in leaves.items()})


@pytest.fixture
def traces(monkeypatch):
    """Counts how often the library's compiled functions are traced."""
    counted = []
    bind = evaluation.bind

    def counting(*args):
        counted.append(args)
        return bind(*args)

    monkeypatch.setattr(evaluation, "bind", counting)
    return counted


# Values


@every_case
@pytest.mark.usefixtures("x64")
def test_value_is_the_closed_form(case: Case):
    params = random_params(dtype=jnp.float64)
    np.testing.assert_allclose(case.make(STRENGTH)(params), case.total(params, STRENGTH), rtol=1e-13)


@every_case
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
    penalty, params = case.make(STRENGTH), random_params(dtype=jnp.float64)
    for axis in (0, -1):
        turned = jax.tree.map(lambda w, axis=axis: jnp.roll(w, 1, axis), params)
        np.testing.assert_allclose(penalty(turned), penalty(params), rtol=1e-13)
        proxes = jax.tree.map(lambda w, axis=axis: jnp.roll(w, 1, axis), penalty.prox(params, STEP))
        np.testing.assert_allclose(ravel(penalty.prox(turned, STEP)), ravel(proxes), rtol=1e-13)


@every_case
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


# Proxes


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


def unravel_np(vector):
    leaves, start = {}, 0
    for path, shape in SHAPES.items():
        size = int(np.prod(shape))
        leaves[path] = vector[start : start + size].reshape(shape)
        start += size
    return tree(leaves)


@every_case
@pytest.mark.usefixtures("x64")
def test_prox_of_one_weight_is_found_by_brute_force(case: Case):
    penalty = case.make(STRENGTH)
    for v in (-2.5, -0.4, -0.05, 0.0, 0.2, 0.6, 1.0, 3.0):
        one = {path: np.full((1,) * len(shape), v) for path, shape in SHAPES.items()}
        z = flat(penalty.prox(tree({path: jnp.asarray(w) for path, w in one.items()}), STEP))
        for path, w in one.items():

            def cost(x, path=path, w=w):
                return STEP * case.value(path, np.full(w.shape, x), STRENGTH) + 0.5 * (x - v) ** 2  # noqa: B023

            low, high = -abs(v) - 1, abs(v) + 1
            for _ in range(3):
                grid = np.linspace(low, high, 301)
                best = grid[np.argmin([cost(x) for x in grid])]
                low, high = best - (high - low) / 300, best + (high - low) / 300
            assert abs(float(z[path].squeeze()) - best) < 1e-5
            assert cost(float(z[path].squeeze())) <= cost(best) + 1e-12


@every_case
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


@every_case
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
def test_step_zero_changes_nothing(case: Case, scale: float):
    params = random_params(scale=scale)
    assert_same_bits(case.make(STRENGTH).prox(params, 0), params)


@every_case
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_strength_zero_changes_nothing(case: Case, scale: float):
    params = random_params(scale=scale)
    assert case.make(0)(params) == 0
    assert_same_bits(case.make(0.0).prox(params, STEP), params)


@every_case
def test_large_step_reaches_exact_zeros_where_there_is_a_kink(case: Case):
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


# Zero, NaN, inf


@every_case
def test_zero_is_a_fixed_point_with_gradient_zero(case: Case):
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

    for derivative in derivatives(params, random_params(5, jnp.float64)):
        assert np.all(np.isfinite(ravel(derivative)))


@every_case
def test_zero_weights_among_others_have_gradient_zero(case: Case):
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
            assert np.isfinite(value)
        assert not np.isfinite(z.ravel()[0])


@every_case
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
    with pytest.raises(ValueError, match="expected a finite number ≥ 0"):
        case.make(bad)
    with pytest.raises(ValueError, match="step is"):
        case.make(STRENGTH).prox(random_params(), bad)


# Dtypes


@every_case
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_narrow_dtypes_are_computed_in_float32(case: Case, dtype):
    penalty, params = case.make(STRENGTH), random_params(dtype=dtype, scale=1000.0)
    (value, gradient), z = jax.value_and_grad(penalty)(params), penalty.prox(params, STEP)
    assert (value.dtype, value.shape, value.weak_type) == (jnp.float32, (), False)
    np.testing.assert_allclose(value, case.total(params, STRENGTH), rtol=1e-6)
    wide = penalty.prox(jax.tree.map(lambda w: w.astype(jnp.float32), params), STEP)
    assert_same_bits(z, jax.tree.map(lambda w: w.astype(dtype), wide))
    assert np.all(np.isfinite(ravel(z)))
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


# Compiled, batched, differentiated


@every_case
def test_compiled_is_eager(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    np.testing.assert_allclose(jax.jit(lambda p, w: p(w))(penalty, params), penalty(params), rtol=1e-6)
    compiled = jax.jit(lambda p, w, t: p.prox(w, t))(penalty, params, STEP)
    np.testing.assert_allclose(ravel(compiled), ravel(penalty.prox(params, STEP)), rtol=1e-6)


@every_case
def test_one_trace_for_every_strength_and_every_kind_of_number(case: Case, traces):
    params = jax.tree.map(lambda w: np.ones((4, *w.shape[1:]), np.float32), random_params())
    kinds = [1, 0.5, np.float32(0.1), np.float64(0.2), np.int32(2), jnp.float32(0.3), jnp.asarray(0.4), 0]
    for strength in kinds:
        case.make(strength)(params)
    assert len(traces) <= 1  # none, if another row is traced as the same function
    for strength, step in zip(kinds, kinds[::-1], strict=True):
        case.make(strength).prox(params, step)
    assert len(traces) <= 2


def test_traces_are_counted(traces):
    params = {"dense": jnp.ones((7, 5))}
    CASES[0].make(1.0)(params)
    assert len(traces) == 1
    CASES[0].make(jnp.ones(5))(params)
    assert len(traces) == 2


@every_case
def test_one_trace_when_a_penalty_is_an_argument(case: Case):
    traced = []

    @jax.jit
    def f(penalty):
        traced.append(penalty)
        return penalty(random_params())

    for strength in (1, 0.5, np.float32(0.1), np.float64(0.2), jnp.float32(0.3), jnp.asarray(0.4), 0):
        f(case.make(strength))
    f(2 * case.make(0.1))
    assert len(traced) == 1


@every_case
def test_vmap_over_strengths_is_a_loop(case: Case):
    params, strengths = random_params(), jnp.asarray([0.0, 0.1, 1.0, 2.5])
    # Made inside vmap, and made outside of it with an axis of strengths.
    inside = jax.vmap(lambda s: case.make(s)(params))(strengths)
    batch = jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *map(case.make, strengths))
    values, proxes = jax.vmap(lambda p: (p(params), p.prox(params, STEP)))(batch)
    assert isinstance(batch, Penalty)
    for i, s in enumerate(strengths):
        np.testing.assert_allclose(values[i], case.make(s)(params), rtol=1e-6)
        np.testing.assert_allclose(inside[i], values[i], rtol=1e-6)
        one = jax.tree.map(lambda x, i=i: x[i], proxes)
        np.testing.assert_allclose(ravel(one), ravel(case.make(s).prox(params, STEP)), rtol=1e-5, atol=1e-7)


@every_case
@pytest.mark.usefixtures("x64")
def test_gradient_by_strength_is_the_finite_difference(case: Case):
    params, h = random_params(dtype=jnp.float64), 1e-6
    slope = (case.total(params, STRENGTH + h) - case.total(params, STRENGTH - h)) / (2 * h)

    @jax.jit
    def derivatives(s):
        by_object = jax.grad(lambda p: p(params))(case.make(s))
        _, of_prox = jax.jvp(lambda s: case.make(s).prox(params, STEP), (s,), (jnp.ones_like(s),))
        return jax.grad(lambda s: case.make(s)(params))(s), by_object, of_prox

    by_strength, by_object, of_prox = derivatives(jnp.asarray(STRENGTH))
    np.testing.assert_allclose(by_strength, slope, rtol=1e-8)
    assert jax.tree.structure(by_object) == jax.tree.structure(case.make(STRENGTH))
    up, down = (ravel(case.make(STRENGTH + s * h).prox(params, STEP)) for s in (1, -1))
    np.testing.assert_allclose(ravel(of_prox), (up - down) / (2 * h), atol=1e-8)


@every_case
@pytest.mark.usefixtures("x64")
def test_gradient_is_the_finite_difference(case: Case):
    penalty, params, h = case.make(STRENGTH), random_params(dtype=jnp.float64), 1e-6
    gradient = ravel(jax.grad(penalty)(params))
    at = ravel(params)
    for i, direction in enumerate(np.eye(at.size)):
        up, down = (case.total(unravel_np(at + s * h * direction), STRENGTH) for s in (1, -1))
        np.testing.assert_allclose(gradient[i], (up - down) / (2 * h), atol=1e-7)


@every_case
@pytest.mark.usefixtures("x64")
def test_forward_mode_agrees_with_reverse_mode(case: Case):
    penalty, params, tangent = (
        case.make(STRENGTH),
        random_params(0, jnp.float64),
        random_params(1, jnp.float64),
    )
    value, slope = jax.jvp(penalty, (params,), (tangent,))
    np.testing.assert_allclose(value, penalty(params), rtol=1e-14)
    np.testing.assert_allclose(slope, ravel(jax.grad(penalty)(params)) @ ravel(tangent), rtol=1e-12)


@every_case
@pytest.mark.usefixtures("x64")
def test_hessian_vector_product_is_the_finite_difference(case: Case):
    penalty, params, v = case.make(STRENGTH), random_params(0, jnp.float64), random_params(1, jnp.float64)
    h = 1e-6
    product = jax.jit(lambda w: jax.jvp(jax.grad(penalty), (w,), (v,))[1])
    up, down = (
        jax.grad(penalty)(jax.tree.map(lambda w, d, s=s: w + s * h * d, params, v)) for s in (1.0, -1.0)
    )
    np.testing.assert_allclose(ravel(product(params)), (ravel(up) - ravel(down)) / (2 * h), atol=1e-7)
    assert np.all(np.isfinite(ravel(product(half_zero_params()))))


@every_case
def test_works_with_shapes_left_open(case: Case):
    """`jax.export` of a function for any number of rows and columns."""
    penalty, params = case.make(STRENGTH), random_params()
    s, a, b = jax.export.symbolic_shape("s, a, b")
    shapes = {"dense/kernel": (a, b), "dense/bias": (b,), "scan/kernel": (s, a, b)}
    opened = tree({path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()})
    for function in (lambda w: penalty(w), jax.grad(penalty), lambda w: penalty.prox(w, STEP)):
        exported = jax.export.export(jax.jit(function))(opened)
        for got, expected in zip(
            jax.tree.leaves(exported.call(params)), jax.tree.leaves(function(params)), strict=True
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-5)


@every_case
def test_works_in_a_scan(case: Case):
    penalty, params = case.make(STRENGTH), random_params()

    def body(w, _):
        return penalty.prox(w, STEP), penalty(w)

    final, values = jax.lax.scan(body, params, None, length=2)
    once = penalty.prox(params, STEP)
    np.testing.assert_allclose(values, [penalty(params), penalty(once)], rtol=1e-6)
    np.testing.assert_allclose(ravel(final), ravel(penalty.prox(once, STEP)), rtol=1e-5, atol=1e-7)


# Subgradients and settling


@every_settling_case
@pytest.mark.usefixtures("x64")
def test_subgradient_is_zero_at_a_solution(case: Case):
    penalty = case.make(STRENGTH)
    for scale in (0.1, 1.0, 3.0):
        v = random_params(4, jnp.float64, scale)
        z = penalty.prox(v, 1.0)  # minimizes ½‖z − v‖² + R(z), whose first term has gradient z − v
        np.testing.assert_allclose(
            ravel(penalty.subgradient(z, jax.tree.map(jnp.subtract, z, v))), 0, atol=1e-14
        )
        for path, w in flat(penalty.subgradient(z, jax.tree.map(jnp.subtract, z, v))).items():
            zero = flat(z)[path] == 0
            assert np.all(w[zero] == 0), "exactly zero where the solution is"


@every_settling_case
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_subgradient_is_the_one_of_least_norm(case: Case, scale: float):
    if not case.convex:
        pytest.skip("not convex")
    # d is the element of least norm of ∂F(w), F = ⟨g, ·⟩ + R convex, if and only if d is in it and the
    # slope of F at w in the direction −d is −‖d‖².
    penalty, params, grads = case.make(STRENGTH), half_zero_params(), random_params(6, jnp.float64, scale)
    at, g, d = ravel(params), ravel(grads), ravel(penalty.subgradient(params, grads))

    def total(w):
        return g @ w + case.total(unravel_np(w), STRENGTH)

    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-1, 1.0):
        for _ in range(20):
            away = size * rng.normal(size=at.size)
            assert total(at + away) >= total(at) + d @ away - 1e-12
    h = 1e-7
    np.testing.assert_allclose((total(at - h * d) - total(at)) / h, -d @ d, rtol=1e-5, atol=1e-6)


@every_settling_case
def test_subgradient_away_from_kinks_is_the_gradient(case: Case):
    penalty, params, grads = case.make(STRENGTH), random_params(), random_params(1)
    expected = ravel(grads) + ravel(jax.grad(penalty)(params))
    np.testing.assert_allclose(ravel(penalty.subgradient(params, grads)), expected, rtol=1e-5, atol=1e-6)


@every_settling_case
def test_subgradient_and_settle_keep_dtypes(case: Case):
    dtype = jnp.bfloat16
    penalty, params, grads = case.make(STRENGTH), random_params(), random_params(1, dtype)
    direction = penalty.subgradient(params, grads)
    settled = penalty.settle(random_params(0, dtype), random_params(2, dtype), direction)
    assert {x.dtype for x in jax.tree.leaves((direction, settled))} == {jnp.dtype(dtype)}


@every_settling_case
def test_subgradient_and_settle_leave_the_unselected_alone(case: Case):
    params, grads, moved = random_params(0), random_params(1), random_params(2)
    penalty = case.make(STRENGTH)
    direction = penalty.subgradient(params, grads)
    settled = penalty.settle(params, moved, direction)
    for path in SHAPES:
        owner, name = path.split("/")
        if not case.selects(path):
            assert direction[owner][name] is grads[owner][name]
            assert settled[owner][name] is moved[owner][name]


@every_settling_case
def test_settle_keeps_what_crossed_no_kink(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    direction = jax.tree.map(jnp.zeros_like, params)
    for factor in (0.5, 1.0, 2.0):
        moved = jax.tree.map(lambda w, factor=factor: factor * w, params)
        assert_same_bits(penalty.settle(params, moved, direction), moved)


@every_settling_case
def test_settle_zeroes_what_crossed_a_kink(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    direction = jax.tree.map(lambda w: 2.0 * w, params)
    moved = jax.tree.map(jnp.negative, params)
    for path, w in flat(penalty.settle(params, moved, direction)).items():
        expected = np.zeros_like(w) if case.has_kink(path) else flat(moved)[path]
        np.testing.assert_array_equal(w, expected)


@every_settling_case
def test_settle_lets_weights_leave_zero_down_the_subgradient_only(case: Case):
    penalty, zero = case.make(STRENGTH), jax.tree.map(jnp.zeros_like, random_params())
    grads = jax.tree.map(lambda w: 100.0 * jnp.sign(w), random_params())
    direction = penalty.subgradient(zero, grads)
    down = jax.tree.map(lambda d: -0.1 * d, direction)
    assert_same_bits(penalty.settle(zero, down, direction), down)
    up = jax.tree.map(lambda d: 0.1 * d, direction)
    for path, w in flat(penalty.settle(zero, up, direction)).items():
        expected = np.zeros_like(w) if case.has_kink(path) else flat(up)[path]
        np.testing.assert_array_equal(w, expected)


@every_settling_case
def test_settle_keeps_nan(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    moved = jax.tree.map(lambda w: jnp.full_like(w, jnp.nan), params)
    assert np.all(np.isnan(ravel(penalty.settle(params, moved, params))))


# Written down and read back


@every_case
def test_config_round_trip(case: Case):
    penalty = case.make(0.1)
    text = json.dumps(penalty.to_config())
    again = from_config(json.loads(text))
    assert repr(again) == repr(penalty)
    assert again.to_config() == penalty.to_config()
    assert again(random_params()) == penalty(random_params())
    assert jax.tree.structure(again) == jax.tree.structure(penalty)


@every_case
def test_config_keeps_short_decimals(case: Case):
    config = case.make(0.1).to_config()
    assert re.search(r"\d\.\d", json.dumps(config))
    assert not re.search(r"\d\.\d{3}", json.dumps(config)), "0.1, not 0.10000000149"
    assert case.make(np.float32(0.1)).to_config() == config
    assert case.make(jnp.float32(0.1)).to_config() == config
    assert jax.jit(lambda p: p)(case.make(0.1)).to_config() == config


@every_case
@pytest.mark.parametrize("again", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy, copy.copy])
def test_copies_are_the_same_penalty(case: Case, again):
    penalty = case.make(0.1)
    twin = again(penalty)
    assert repr(twin) == repr(penalty)
    assert twin == penalty != case.make(0.2)
    assert jax.tree.map(jnp.asarray, twin) == penalty
    assert len({penalty, twin, jax.tree.map(jnp.asarray, twin), case.make(0.2)}) == 2
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(lambda p: jnp.asarray(p == penalty))(twin)
    with pytest.raises(TypeError, match="not hashable: its strengths are arrays"):
        hash(jax.tree.map(lambda s: jnp.full(3, s), twin))
    assert jax.tree.map(lambda s: jnp.full(3, s), twin) != penalty
    assert jax.tree.structure(twin) == jax.tree.structure(penalty)
    assert twin(random_params()) == penalty(random_params())


@every_case
def test_a_penalty_is_a_pytree_of_its_strengths(case: Case):
    leaves, structure = jax.tree.flatten(case.make(STRENGTH))
    assert leaves
    assert all(jnp.shape(leaf) == () for leaf in leaves)
    again = structure.unflatten(leaves)
    assert again(random_params()) == case.make(STRENGTH)(random_params())


@every_case
def test_a_penalty_cannot_be_changed(case: Case):
    penalty = case.make(STRENGTH)
    with pytest.raises(AttributeError):
        penalty.strength = 1.0


def test_no_two_rows_have_the_same_name():
    assert len({case.name for case in CASES}) == len(CASES)


def test_ravel_and_unravel_are_inverse():
    params = random_params()
    assert_same_bits(unravel(ravel(params), jnp.float32), params)


def test_settle_says_that_the_direction_is_of_another_structure():
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match="that direction has not"):
        L1(0.1).settle(params, params, {"a": jnp.ones(3)})
    with pytest.raises(ValueError, match="in direction"):
        L1(0.1).settle(params, params, {"a": jnp.ones(3), "b": jnp.ones(3)})


def test_formulas_that_return_another_shape_are_named():
    class NoSum(Penalty):
        strength: float

        def value_at(self, w):
            return self.strength * jnp.abs(w)

        def prox_at(self, v, step):
            return jnp.sum(v)

    with pytest.raises(ValueError, match=r"NoSum\.value_at returned an array of shape \(3,\)"):
        NoSum(0.1)(jnp.ones(3))
    with pytest.raises(ValueError, match=r"NoSum\.prox_at returned an array of shape \(\)"):
        NoSum(0.1).prox(jnp.ones(3))
