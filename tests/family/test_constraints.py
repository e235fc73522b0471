"""Constraints beyond the laws: oracles, what stays bit for bit, extreme weights, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from penalties import (
    PSD,
    Box,
    Constraint,
    L1Ball,
    L2Ball,
    LInfBall,
    MaxNorm,
    MinMaxNorm,
    NOfM,
    NonNegative,
    Orthonormal,
    Simplex,
    Sparse,
    UnitNorm,
    describe,
    from_config,
    functional,
    parameter,
)

from laws import assert_same_bits, half_zero_params

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 4))


def project(constraint, w):
    return np.asarray(constraint.prox(jnp.asarray(w)))


# Oracles.


def test_norms_of_units_are_those_of_keras():
    keras = pytest.importorskip("keras")
    for theirs, ours in (
        (keras.constraints.MaxNorm(1.5, axis=0), MaxNorm(1.5)),
        (keras.constraints.UnitNorm(axis=0), UnitNorm()),
        (keras.constraints.MinMaxNorm(2.0, 2.5, axis=0), MinMaxNorm(2.0, 2.5)),
        (keras.constraints.MaxNorm(1.5, axis=1), MaxNorm(1.5, axis=0)),
        (keras.constraints.NonNeg(), NonNegative()),
    ):
        w = W.astype(np.float32)
        np.testing.assert_allclose(project(ours, w), theirs(w), rtol=1e-6)
    conv = RNG.normal(size=(3, 3, 2, 4)).astype(np.float32)
    theirs = keras.constraints.MaxNorm(1.5, axis=[0, 1, 2])(conv)
    np.testing.assert_allclose(project(MaxNorm(1.5), conv), theirs, rtol=1e-6)


def test_projections_are_those_of_optax():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        w = jnp.asarray(W, jnp.float32)
        for theirs, ours in (
            (optax.projections.projection_non_negative(w), NonNegative()),
            (optax.projections.projection_box(w, -0.5, 0.25), Box(-0.5, 0.25)),
            (optax.projections.projection_simplex(w, 1.5), Simplex(1.5)),
            (optax.projections.projection_l1_ball(w, 1.5), L1Ball(1.5)),
            (optax.projections.projection_l2_ball(w, 1.5), L2Ball(1.5)),
            (optax.projections.projection_linf_ball(w, 0.5), LInfBall(0.5)),
        ):
            np.testing.assert_allclose(ours.prox(w), theirs, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_matrices_are_those_of_scipy_and_numpy():
    np.testing.assert_allclose(project(Orthonormal(), W), scipy.linalg.polar(W)[0], atol=1e-12)
    np.testing.assert_allclose(project(Orthonormal(), W.T), scipy.linalg.polar(W.T)[0], atol=1e-12)
    conv = RNG.normal(size=(3, 2, 4))
    flat_ = scipy.linalg.polar(conv.reshape(6, 4))[0].reshape(conv.shape)
    np.testing.assert_allclose(project(Orthonormal(), conv), flat_, atol=1e-12)
    other = np.moveaxis(scipy.linalg.polar(np.moveaxis(conv, 0, -1).reshape(8, 3))[0].reshape(2, 4, 3), -1, 0)
    np.testing.assert_allclose(project(Orthonormal(axis=0), conv), other, atol=1e-12)
    square = RNG.normal(size=(3, 4, 4)) + 1j * RNG.normal(size=(3, 4, 4))
    sizes, vectors = np.linalg.eigh((square + square.conj().swapaxes(1, 2)) / 2)
    expected = (vectors * np.maximum(sizes, 0)[:, None]) @ vectors.conj().swapaxes(1, 2)
    np.testing.assert_allclose(project(PSD(), square), expected, atol=1e-12)


def test_the_largest_are_kept_and_of_equal_ones_the_first():
    w = RNG.integers(-4, 5, size=(4, 8)).astype(np.float32)
    for count in (0, 1, 7, 20, 32):
        kept = np.zeros(32, bool)
        kept[np.argsort(-np.abs(w).ravel(), kind="stable")[:count]] = True
        np.testing.assert_array_equal(project(Sparse(count), w), np.where(kept.reshape(w.shape), w, 0))
    for n, m, axis in ((2, 4, -1), (1, 4, 0), (3, 4, 1), (4, 4, -1)):
        blocks = np.moveaxis(w, axis, -1)
        blocks = blocks.reshape(-1, m)
        order = np.argsort(np.argsort(-np.abs(blocks), axis=1, kind="stable"), axis=1)
        expected = np.where(order < n, blocks, 0).reshape(np.moveaxis(w, axis, -1).shape)
        np.testing.assert_array_equal(project(NOfM(n, m, axis), w), np.moveaxis(expected, -1, axis))


def test_projections_are_those_of_pyproximal():
    pyproximal = pytest.importorskip("pyproximal", exc_type=ImportError)
    w = W.ravel()
    for theirs, ours in (
        (pyproximal.Box(-0.5, 0.25), Box(-0.5, 0.25)),
        (pyproximal.Simplex(w.size, 1.5, engine="numpy"), Simplex(1.5)),
        (pyproximal.L1Ball(w.size, 1.5), L1Ball(1.5)),
        (pyproximal.EuclideanBall(np.zeros_like(w), 1.5), L2Ball(1.5)),
        (pyproximal.L0Ball(3), Sparse(3)),
    ):
        with jax.enable_x64(True):
            np.testing.assert_allclose(project(ours, w), theirs.prox(w.copy(), 1.0), atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@given(v=st.lists(st.floats(-3, 3), min_size=2, max_size=2))
def test_two_weights_are_projected_as_brute_force_does(v):
    axis = np.linspace(-2, 2, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    on_line = np.stack([axis, 1 - axis], 1)
    turns = np.linspace(0, 2 * np.pi, 2001)
    circle = np.stack([np.cos(turns), np.sin(turns)], 1)
    for constraint, points in (
        (L1Ball(1.0), grid[np.abs(grid).sum(1) <= 1 + 1e-9]),
        (L2Ball(1.0), np.concatenate([grid[(grid**2).sum(1) <= 1], circle])),
        (Simplex(1.0), on_line[(on_line >= 0).all(1)]),
        (UnitNorm(axis=()), circle),
        (Sparse(1), grid[(grid == 0).any(1)]),
    ):
        z = project(constraint, np.clip(v, -2, 2))
        distances = np.sqrt(((points - np.clip(v, -2, 2)) ** 2).sum(1))
        assert np.sqrt(((z - np.clip(v, -2, 2)) ** 2).sum()) <= distances.min() + 1e-9
        assert np.sqrt(((points - z) ** 2).sum(1)).min() <= 0.01


# Extreme weights.


def test_signs_of_zeros_stay_where_they_are_allowed():
    for constraint in (NonNegative(), Box(0.0, 1.0), L1Ball(1.0), L2Ball(1.0), MaxNorm(1.0), Sparse(1)):
        z = project(constraint, np.array([0.5, -0.0], np.float32))
        assert z.tolist() == [0.5, 0.0]
        assert np.signbit(z[1])


def test_nearly_zero_is_not_zero():
    assert Sparse(2)(jnp.array([1.0, 1.0, 1e-30])) == np.inf
    assert NonNegative()(jnp.array([1.0, -1e-30])) == np.inf
    assert NOfM(1, 2)(jnp.array([1.0, 1e-30])) == np.inf


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_sizes_whose_squares_overflow(scale):
    w = (scale * W).astype(np.float32)
    unit = W / np.sqrt((W**2).sum(0))
    np.testing.assert_allclose(project(UnitNorm(), w), unit, rtol=1e-5)
    np.testing.assert_allclose(project(MaxNorm(scale), w) / scale, project(MaxNorm(1.0), W), rtol=1e-5)
    np.testing.assert_allclose(project(L2Ball(scale), w) / scale, project(L2Ball(1.0), W), rtol=1e-5)
    np.testing.assert_allclose(project(L1Ball(scale), w) / scale, project(L1Ball(1.0), W), atol=1e-5)
    np.testing.assert_allclose(project(Orthonormal(), w), project(Orthonormal(), W), atol=1e-5)
    np.testing.assert_array_equal(project(Sparse(5), w) != 0, project(Sparse(5), W) != 0)


def test_a_total_keeps_its_digits_beside_large_weights():
    for shift in (0.0, 1e4, -1e4):
        z = project(Simplex(), (RNG.normal(size=10_000) + shift).astype(np.float32))
        np.testing.assert_allclose(z.sum(dtype=np.float64), 1, atol=1e-6)
        assert z.min() == 0


@pytest.mark.slow
def test_zero_radius_total_and_units():
    w = W.astype(np.float32)
    for constraint in (L1Ball(0), L2Ball(0), LInfBall(0), Simplex(0), MaxNorm(0), Sparse(0), Box(0, 0)):
        assert not project(constraint, w).any()
        assert constraint(jnp.zeros((3, 2))) == 0
    zero = jnp.zeros((4, 2))
    for constraint in (UnitNorm(), MinMaxNorm(0.5, 1.0), Orthonormal(), Simplex()):
        assert constraint(zero) == np.inf
        assert constraint(constraint.prox(zero)) == 0
        derivative = jax.jvp(constraint.prox, (zero,), (jnp.ones_like(zero),))[1]
        assert np.all(np.isfinite(derivative))
    np.testing.assert_allclose(UnitNorm().prox(zero), 0.5)


def test_empty_leaves():
    for constraint in (
        *(NonNegative(), Box(0, 1), L1Ball(1), L2Ball(1), LInfBall(1), Simplex(), MaxNorm(1), UnitNorm()),
        *(MinMaxNorm(1, 2), Sparse(0), NOfM(2, 4, axis=0), Orthonormal()),
    ):
        assert constraint.prox(jnp.zeros((0, 3))).shape == (0, 3)
        assert constraint(jnp.zeros((0, 3))) == 0
        assert constraint({}) == 0
    assert PSD().prox(jnp.zeros((2, 0, 0))).shape == (2, 0, 0)


def test_complex_weights_count_by_their_modulus_or_are_refused():
    w = (W + 1j * np.roll(W, 1)).astype(np.complex64)
    sizes, phases = np.abs(w), w / np.abs(w)
    for constraint in (
        L1Ball(2.0),
        L2Ball(2.0),
        LInfBall(0.5),
        Sparse(5),
        NOfM(1, 2),
        MaxNorm(1.0),
        UnitNorm(),
    ):
        z = project(constraint, w)
        assert z.dtype == np.complex64
        np.testing.assert_allclose(np.abs(z), project(constraint, sizes), atol=1e-6)
        np.testing.assert_allclose(z, np.abs(z) * phases, atol=1e-6)
        assert constraint(jnp.asarray(z)) == 0
    columns = project(Orthonormal(), w)
    np.testing.assert_allclose(columns.conj().T @ columns, np.eye(4), atol=1e-5)
    for constraint in (NonNegative(), Box(0, 1), Simplex()):
        for call in (constraint, constraint.prox):
            with pytest.raises(TypeError, match="on complex weights, which have no order"):
                call({"a": w})


def test_bounds_may_be_infinite_and_for_each_weight():
    w = jnp.array([[-2.0, 0.5], [3.0, -0.1]])
    assert project(Box(-np.inf, 1.0), w).tolist() == [[-2.0, 0.5], [1.0, pytest.approx(-0.1)]]
    assert project(Box(jnp.array([-1.0, 0.0]), np.inf), w).tolist() == [[-1.0, 0.5], [3.0, 0.0]]
    assert project(Box(np.inf, np.inf), w).tolist() == [[np.inf] * 2] * 2
    assert from_config(Box(-np.inf, np.inf).to_config()) == Box(-np.inf, np.inf)
    assert project(MaxNorm(jnp.array([[1.0, 9.0]])), w)[:, 1].tolist() == w[:, 1].tolist()
    trees = Box({"a": 0.0, "b": -1.0}, 1.0).prox({"a": -w, "b": -w})
    assert (trees["a"].min(), trees["b"].min()) == (0, -1)


# One's own, and what is said of bad input.


class Hyperplane(Constraint):
    """Σw = total."""

    total: float = parameter(at_least=0)

    def project_at(self, w):
        return w - (jnp.sum(w) - self.total) / w.size


def test_ones_own_constraint_is_one_formula():
    constraint, w = 3 * Hyperplane(total=2.0), jnp.asarray(W, jnp.float32)
    z = constraint.prox(w)
    assert (constraint(w), constraint(z), constraint.total) == (np.inf, 0, 2.0)
    assert_same_bits(constraint.prox(z), z)
    np.testing.assert_allclose(z.sum(), 2, rtol=1e-5)
    assert "violated" in str(describe(constraint, {"a": w}))
    assert not describe(constraint, {"a": z})["a"]["violated"]


def test_describe_says_what_is_violated():
    found = describe(NonNegative().on("a"), {"a": jnp.array([-1.0]), "b": jnp.array([-1.0])})
    assert [(row["value"], row["violated"]) for row in found.values()] == [(np.inf, True), (0.0, False)]
    assert str(found).count("violated") == 2
    assert "nan" not in str(found)


def test_pure_functions_are_the_classes():
    w, square = jnp.asarray(W, jnp.float32), jnp.asarray(W[:4], jnp.float32)
    for found, constraint in (
        (functional.project_non_negative(w), NonNegative()),
        (functional.project_box(w, -0.5, 0.5), Box(-0.5, 0.5)),
        (functional.project_max_norm(w, 0.5, axis=0), MaxNorm(0.5, axis=0)),
        (functional.project_unit_norm(w, axis=0), UnitNorm(axis=0)),
        (functional.project_min_max_norm(w, 0.5, 1.0, axis=0), MinMaxNorm(0.5, 1.0, axis=0)),
        (functional.project_l1_ball(w, 0.5), L1Ball(0.5)),
        (functional.project_l2_ball(w, 0.5), L2Ball(0.5)),
        (functional.project_l_inf_ball(w, 0.5), LInfBall(0.5)),
        (functional.project_simplex(w, 0.5), Simplex(0.5)),
        (functional.project_sparse(w, 3), Sparse(3)),
        (functional.project_n_of_m(w, 1, 3, axis=0), NOfM(1, 3, axis=0)),
        (functional.project_orthonormal(w, axis=0), Orthonormal(axis=0)),
    ):
        assert_same_bits(found, constraint.prox(w))
    assert_same_bits(functional.project_psd(square), PSD().prox(square))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaxNorm(-1.0), ValueError, r"MaxNorm\.radius is -1\.0: expected a finite number ≥ 0"),
        (lambda: L2Ball(np.inf), ValueError, r"L2Ball\.radius is inf: expected a finite number ≥ 0"),
        (lambda: Simplex(-1), ValueError, r"Simplex\.total is -1\.0"),
        (
            lambda: Box(1.0, 0.0),
            ValueError,
            r"Box\.lower is 1\.0 and Box\.upper is 0\.0: expected lower ≤ upper",
        ),
        (lambda: Box(jnp.array([0.0, 2.0]), 1.0), ValueError, r"expected lower ≤ upper"),
        (lambda: Box(np.nan, 0.0), ValueError, r"Box\.lower is nan: expected a number"),
        (lambda: Box("a", 0.0), TypeError, r"Box\.lower is 'a' of type str"),
        (lambda: MinMaxNorm(2, 1), ValueError, r"MinMaxNorm\.lower is 2\.0 and MinMaxNorm\.upper is 1\.0"),
        (lambda: MaxNorm(1.0, axis="a"), TypeError, r"MaxNorm\.axis is 'a': expected an int"),
        (lambda: Sparse(-1), ValueError, r"Sparse\.count is -1: expected an int ≥ 0"),
        (lambda: Sparse(0.1), TypeError, r"Sparse\.count is 0\.1 of type float: expected an int ≥ 0"),
        (lambda: Sparse(True), TypeError, r"Sparse\.count is True of type bool"),
        (lambda: NOfM(5, 4), ValueError, r"NOfM\.n is 5 and NOfM\.m is 4: expected n ≤ m"),
        (lambda: NOfM(0, 4), ValueError, r"NOfM\.n is 0: expected an int ≥ 1"),
        (
            lambda: NOfM(2, 4, axis=(0, 1)),
            TypeError,
            r"NOfM\.axis is \(0, 1\) of type tuple",
        ),
        (
            lambda: Orthonormal(axis=None),
            TypeError,
            r"Orthonormal\.axis is None of type NoneType: expected an int",
        ),
    ],
)
def test_numbers_out_of_range_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Sparse(7), r"Sparse\(7\) on a leaf of shape \(3, 2\), which has 6 weights"),
        (NOfM(2, 4), r"whose axis -1 has length 2: expected a multiple of 4"),
        (NOfM(1, 2, axis=2), r"on a leaf of shape \(3, 2\): expected an axis between -2 and 1"),
        (
            MaxNorm(1.0, axis=2),
            r"MaxNorm\(axis=2\) on a leaf of shape \(3, 2\): expected axes between",
        ),
        (MaxNorm(jnp.ones((3, 2))), r"varies among weights that are bound together"),
        (L1Ball(jnp.ones((3, 2))), r"L1Ball\.radius: an array of shape \(3, 2\) varies"),
        (PSD(), r"PSD on a leaf of shape \(3, 2\): expected a square matrix"),
        (Orthonormal(axis=2), r"Orthonormal\(axis=2\) on a leaf of shape \(3, 2\): expected a matrix"),
    ],
)
def test_leaves_that_do_not_fit_are_named(constraint, message):
    for call in (constraint, constraint.prox):
        with pytest.raises(ValueError, match=message) as caught:
            call({"layer": {"kernel": jnp.ones((3, 2))}})
        assert any("'layer/kernel'" in note for note in caught.value.__notes__)


def test_a_matrix_constraint_on_a_vector_says_so():
    with pytest.raises(
        ValueError, match=r"Orthonormal\(axis=-1\) on a leaf of shape \(3,\): expected a matrix"
    ):
        Orthonormal().prox({"bias": jnp.ones(3)})


def test_a_step_for_each_weight_is_refused_where_weights_are_bound_together():
    params, step = jnp.ones((3, 2)), jnp.full((3, 2), 0.1)
    assert NonNegative().prox(params, step).shape == (3, 2)
    assert MaxNorm(1.0).prox(params, jnp.full((1, 2), 0.1)).shape == (3, 2)
    for constraint in (L2Ball(1.0), MaxNorm(1.0), Sparse(2), Orthonormal(), NOfM(1, 2)):
        with pytest.raises(ValueError, match="varies among weights that are bound together"):
            constraint.prox(params, step)


def test_bounds_that_are_traced_in_the_wrong_order_give_nan():
    w = jnp.ones((2, 2))
    for make in (Box, MinMaxNorm):
        value, z = jax.jit(lambda low: (make(low, 1.0)(w), make(low, 1.0).prox(w)))(2.0)  # noqa: B023
        assert np.isnan(value)
        assert np.all(np.isnan(z))


def test_derivatives_are_finite_where_values_are_equal():
    with jax.enable_x64(True):
        params = half_zero_params()["scan"]["kernel"]
        for constraint, w in ((Orthonormal(), jnp.eye(3)), (PSD(), jnp.eye(3)), (PSD(), params)):
            slope = jax.jvp(constraint.prox, (w,), (jnp.ones_like(w),))[1]
            assert np.all(np.isfinite(slope))
        np.testing.assert_allclose(slope, slope.swapaxes(1, 2), atol=1e-12)
