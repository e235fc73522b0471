"""Penalties of matrices, against NumPy's singular values, `keras.regularizers` and difference quotients."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    GroupLasso,
    Nuclear,
    Orthogonal,
    Rank,
    SoftOrthogonal,
    Spectral,
    SpectralNorm,
    add_penalty,
    kernels,
    penalized,
)

pytestmark = pytest.mark.usefixtures("x64")
W = np.random.default_rng(0).normal(size=(4, 3))
SPECTRAL = [Nuclear(0.4), Spectral(MCP(0.4)), SpectralNorm(0.4)]
EVERY = [*SPECTRAL, Orthogonal(0.4), SoftOrthogonal(0.4)]


def quotient(f, at, by, h=1e-6):
    return (f(at + h * by) - f(at - h * by)) / (2 * h)


def of_sizes(penalty, s, t):
    if isinstance(penalty, SpectralNorm):
        rest = np.sort(s)[::-1].cumsum() - t * 0.4
        return np.minimum(s, max(0, (rest / np.arange(1, s.size + 1)).max()))
    phi = L1(0.4) if isinstance(penalty, Nuclear) else MCP(0.4)
    return np.asarray(phi.prox(s, t))


@pytest.mark.parametrize("penalty", SPECTRAL, ids=repr)
def test_the_prox_is_that_of_the_singular_values(penalty):
    u, s, vt = np.linalg.svd(W, full_matrices=False)
    for t in (0.5, 3.0):
        np.testing.assert_allclose(penalty.prox(W, t), u * of_sizes(penalty, s, t) @ vt, atol=1e-12)
    diagonal = np.zeros((4, 3))
    np.fill_diagonal(diagonal, s)
    np.testing.assert_allclose(penalty(W), penalty(diagonal), rtol=1e-12)


def test_values():
    s = np.linalg.svd(W, compute_uv=False)
    np.testing.assert_allclose(Nuclear(0.4)(W), 0.4 * np.linalg.norm(W, "nuc"))
    np.testing.assert_allclose(SpectralNorm(0.4)(W), 0.4 * np.linalg.norm(W, 2))
    np.testing.assert_allclose(Spectral(L2(0.4))(W), L2(0.4)(W))
    np.testing.assert_allclose(Spectral(MCP(0.4))(W), MCP(0.4)(s))
    np.testing.assert_allclose(SoftOrthogonal(0.4)(W), 0.4 * ((W.T @ W - np.eye(3)) ** 2).sum())


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_is_that_of_keras(mode):
    for shape in ((4, 3), (2, 7)):
        w = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            theirs = keras.regularizers.OrthogonalRegularizer(0.3, mode)(jnp.asarray(w))
        np.testing.assert_allclose(Orthogonal(0.3, mode)(w), theirs, rtol=1e-5)
    assert float(Orthogonal(0.3, mode)(np.ones((1, 1)))) == 0
    assert float(Orthogonal(0.3, mode)(np.zeros((3, 3)))) == 0
    assert not jax.grad(Orthogonal(0.3, mode))(np.zeros((3, 3))).any()


@pytest.mark.parametrize("penalty", EVERY, ids=repr)
def test_derivatives_are_difference_quotients(penalty):
    by = np.random.default_rng(2).normal(size=W.shape)
    gradient, tangent = jax.jvp(jax.grad(penalty), (W,), (by,))
    np.testing.assert_allclose(np.sum(gradient * by), quotient(penalty, W, by), atol=1e-8)
    np.testing.assert_allclose(tangent, quotient(jax.grad(penalty), W, by), atol=1e-7)
    if penalty in SPECTRAL:
        for w, d in ((W, by), (W.T, by.T)):
            moved = jax.jvp(lambda w: penalty.prox(w, 0.7), (w,), (d,))[1]
            np.testing.assert_allclose(moved, quotient(lambda w: penalty.prox(w, 0.7), w, d), atol=1e-7)


@pytest.mark.parametrize("penalty", SPECTRAL, ids=repr)
@pytest.mark.parametrize(
    "w",
    [
        np.zeros((3, 2)),
        pytest.param(np.eye(3), marks=pytest.mark.slow),
        np.diag([2.0, 2.0, 0.0]),
        pytest.param(np.ones((2, 3)), marks=pytest.mark.slow),
    ],
)
def test_derivatives_are_finite_where_singular_values_meet(penalty, w):
    by = np.random.default_rng(3).normal(size=w.shape)
    gradient, tangent = jax.jvp(jax.grad(penalty), (w,), (by,))
    moved, pull = jax.vjp(lambda w: penalty.prox(w, 0.5), w)
    assert all(np.isfinite(x).all() for x in (gradient, tangent, moved, pull(by)[0]))
    if not w.any():
        assert not gradient.any()
    # Downhill: the gradient is one of the subgradients.
    assert penalty(w - 1e-4 * gradient) <= penalty(w)


def test_kernels_of_any_rank_are_matrices_by_one_rule():
    conv = np.random.default_rng(4).normal(size=(2, 2, 3, 4))
    np.testing.assert_allclose(Nuclear(1.0)(conv), np.linalg.norm(conv.reshape(12, 4), "nuc"))
    new = Nuclear(0.5).prox(conv)
    np.testing.assert_allclose(new.reshape(12, 4), Nuclear(0.5).prox(conv.reshape(12, 4)), atol=1e-14)
    heads = Nuclear(0.5, axis=(1, 2)).prox(conv[0])
    np.testing.assert_allclose(heads.reshape(2, 12), Nuclear(0.5).prox(conv[0].reshape(2, 12)), atol=1e-14)
    first = Nuclear(0.5, axis=0).prox(conv)
    np.testing.assert_allclose(first.reshape(2, 24), Nuclear(0.5).prox(conv.reshape(2, 24)), atol=1e-14)


def test_low_rank_zero_and_no_change_are_exact():
    assert np.linalg.matrix_rank(Nuclear(1.5).prox(W)) < 3
    assert not Nuclear(100.0).prox(W).any()
    assert not SpectralNorm(100.0).prox(W).any()
    for penalty in SPECTRAL:
        np.testing.assert_array_equal(penalty.prox(W, 0.0), W)
    np.testing.assert_array_equal(Spectral(MCP(1e-3)).prox(W), W)  # all singular values are large


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.complex64])
def test_other_dtypes(dtype):
    w = jnp.asarray(W).astype(dtype) * jnp.asarray(1j if dtype == jnp.complex64 else 1, dtype)
    wide = W if dtype == jnp.complex64 else np.asarray(w, np.float64)
    for penalty in EVERY:
        np.testing.assert_allclose(penalty(w), penalty(wide), rtol=1e-5)
    for penalty in SPECTRAL:
        new = penalty.prox(w)
        assert new.dtype == dtype
        expected = np.asarray(penalty.prox(wide)) * (1j if dtype == jnp.complex64 else 1)
        np.testing.assert_allclose(np.asarray(new, np.complex128), expected, atol=2e-2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("penalty", EVERY, ids=repr)
def test_what_is_not_finite_comes_out_as_nan_and_not_never(penalty, bad):
    spoilt = np.where(np.eye(4, 3) == 1, bad, W)
    assert np.isnan(penalty(spoilt))
    if penalty in SPECTRAL:
        assert np.isnan(penalty.prox(spoilt)).all()


@pytest.mark.parametrize("penalty", SPECTRAL, ids=repr)
def test_empty_matrices_are_nothing(penalty):
    assert penalty.prox(np.zeros((0, 3))).shape == (0, 3)
    assert float(penalty(np.zeros((3, 0)))) == 0


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: Nuclear(1.0)({"bias": np.ones(3)}),
            ValueError,
            r"leaf of shape \(3,\), of which it makes no matrix",
        ),
        (lambda: Nuclear(1.0)(np.float64(1)), ValueError, "expected a leaf with axes"),
        (lambda: Nuclear(1.0, (0, 1))(W), ValueError, "others for the rows"),
        (lambda: Nuclear(1.0, 2)(W), ValueError, "axes between -2 and 1"),
        (lambda: Nuclear(np.ones(3))(W), ValueError, "the strength of shape .* varies within the leaf"),
        (lambda: Nuclear(1.0).prox(W, np.ones(3)), ValueError, "the step of shape .* varies within the leaf"),
        (lambda: Spectral(GroupLasso(1.0)), TypeError, "expected one penalty of sizes"),
        (lambda: Nuclear(1.0, "rows"), TypeError, "expected an int or a tuple of ints"),
        (lambda: Orthogonal(1.0, "row"), ValueError, 'expected "rows" or "columns"'),
        (lambda: Orthogonal(1.0).prox(W), TypeError, "no prox in closed form"),
        (lambda: penalized(None, Nuclear(1.0)), TypeError, r"Nuclear has no .*proximal\(penalty"),
        (
            lambda: add_penalty(Rank(1.0)),
            TypeError,
            r"gradient is 0.*proximal\(penalty, step_size\)` at the end of a chain$",
        ),
        (lambda: penalized(None, Orthogonal(1.0)), TypeError, r"use it in a loss, or `add_penalty"),
    ],
)
def test_what_does_not_fit_is_named(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_on_kernels_biases_are_left_alone():
    params = {"kernel": jnp.asarray(W), "bias": jnp.ones(3)}
    new = (Nuclear(0.5) + L2(0.1)).on(kernels).prox(params)
    np.testing.assert_allclose(new["kernel"], Nuclear(0.5 / 1.2).prox(W / 1.2), atol=1e-14)
    assert new["bias"] is params["bias"]
