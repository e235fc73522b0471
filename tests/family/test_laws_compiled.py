"""Compiled, batched, differentiated: every penalty of the table in `cases/`."""

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import Penalty
from penalties._penalty import evaluation

from cases import CASES, Case, random_params, ravel, tree
from laws import (
    STEP,
    STRENGTH,
    every_case,
    every_case_with_numbers,
    every_finite_case,
    half_zero_params,
    unravel_np,
)


@pytest.fixture
def traces(monkeypatch):
    """Counts how often the library's compiled functions are traced."""
    counted = []
    bind = evaluation.bind_parts

    def counting(*args):
        counted.append(args)
        return bind(*args)

    monkeypatch.setattr(evaluation, "bind_parts", counting)
    return counted


@every_case
def test_compiled_is_eager(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    compiled = jax.jit(lambda p, w, t: (p(w), p.prox(w, t)))(penalty, params, STEP)
    chex.assert_trees_all_close(compiled, (penalty(params), penalty.prox(params, STEP)), rtol=1e-6)


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
    @jax.jit
    @chex.assert_max_traces(n=1)
    def f(penalty):
        return penalty(random_params())

    for strength in (1, 0.5, np.float32(0.1), np.float64(0.2), jnp.float32(0.3), jnp.asarray(0.4), 0):
        f(case.make(strength))
    f(2 * case.make(0.1))


@every_case_with_numbers
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


@every_case_with_numbers
@pytest.mark.usefixtures("x64")
def test_gradient_by_strength_is_the_finite_difference(case: Case):
    params, h = random_params(dtype=jnp.float64), 1e-6
    slope = (
        0.0
        if case.constraint
        else (case.total(params, STRENGTH + h) - case.total(params, STRENGTH - h)) / (2 * h)
    )

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


@every_finite_case
@pytest.mark.usefixtures("x64")
def test_gradient_is_the_finite_difference(case: Case):
    penalty, params, h = case.make(STRENGTH), random_params(dtype=jnp.float64), 1e-6
    gradient = ravel(jax.grad(penalty)(params))
    at = ravel(params)
    for i, direction in enumerate(np.eye(at.size)):
        up, down = (case.total(unravel_np(at + s * h * direction), STRENGTH) for s in (1, -1))
        np.testing.assert_allclose(gradient[i], (up - down) / (2 * h), atol=1e-7)


@every_finite_case
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


@every_finite_case
@pytest.mark.usefixtures("x64")
def test_hessian_vector_product_is_the_finite_difference(case: Case):
    penalty, params, v = case.make(STRENGTH), random_params(0, jnp.float64), random_params(1, jnp.float64)
    h = 1e-6
    product = jax.jit(lambda w: jax.jvp(jax.grad(penalty), (w,), (v,))[1])
    up, down = (
        jax.grad(penalty)(jax.tree.map(lambda w, d, s=s: w + s * h * d, params, v)) for s in (1.0, -1.0)
    )
    np.testing.assert_allclose(ravel(product(params)), (ravel(up) - ravel(down)) / (2 * h), atol=1e-7)
    chex.assert_tree_all_finite(product(half_zero_params()))


@every_case
def test_works_with_shapes_left_open(case: Case):
    """`jax.export` of a function for any number of rows and columns."""
    if not case.any_shape:
        pytest.skip("lengths count")
    penalty, params = case.make(STRENGTH), random_params()
    s, a, b, c = jax.export.symbolic_shape("s, a, b, c")
    shapes = {"dense/kernel": (a, b), "dense/bias": (b,), "scan/kernel": (s, a, c)}
    opened = tree({path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()})

    def every_use(w):
        return jax.value_and_grad(penalty)(w), penalty.prox(w, STEP)

    exported = jax.export.export(jax.jit(every_use))(opened)
    chex.assert_trees_all_close(exported.call(params), every_use(params), rtol=1e-5)


@every_case
def test_works_in_a_scan(case: Case):
    penalty, params = case.make(STRENGTH), random_params()

    def body(w, _):
        return penalty.prox(w, STEP), penalty(w)

    final, values = jax.lax.scan(body, params, None, length=2)
    once = penalty.prox(params, STEP)
    np.testing.assert_allclose(values, [penalty(params), penalty(once)], rtol=1e-6)
    np.testing.assert_allclose(ravel(final), ravel(penalty.prox(once, STEP)), rtol=1e-5, atol=1e-7)
