"""factorize: factors of the rank that NumPy finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import Nuclear, factorize

RNG = np.random.default_rng(0)
W = (RNG.normal(size=(8, 2)) @ RNG.normal(size=(2, 6))).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "axis", "u", "v"),
    [
        ((8, 6), -1, (8, 2), (2, 6)),
        ((2, 2, 2, 6), -1, (2, 2, 2, 2), (2, 6)),
        ((8, 2, 3), (1, 2), (8, 2), (2, 2, 3)),
    ],
)
def test_the_factors_are_the_kernel(shape, axis, u, v):
    params = {"dense": {"kernel": W.reshape(shape), "bias": np.ones(6)}}
    found = factorize(params, "*/kernel", axis=axis)
    factors = found.factors["dense/kernel"]
    assert (factors.u.shape, factors.v.shape) == (u, v)
    np.testing.assert_allclose(jnp.tensordot(*factors, axes=1), W.reshape(shape), atol=1e-5)
    assert f"{W.size:,}" in repr(found)
    assert "28" in repr(found).splitlines()[-1].split()


def test_what_nuclear_made_small_has_small_factors():
    full = {"kernel": W + 0.01 * RNG.normal(size=W.shape).astype(np.float32)}
    assert factorize(full).factors["kernel"].v.shape[0] == 6
    low = Nuclear(0.2).prox(full)
    assert factorize(low).factors["kernel"].v.shape[0] == 2
    assert factorize(full, tolerance=0.05).factors["kernel"].v.shape[0] == 2
    assert factorize({"kernel": np.zeros((3, 2))}).factors["kernel"].u.shape == (3, 0)


def test_narrow_kernels_keep_their_dtype():
    factors = factorize({"kernel": jnp.asarray(W, jnp.bfloat16)}, tolerance=0.02).factors["kernel"]
    assert {x.dtype for x in factors} == {jnp.dtype(jnp.bfloat16)}
    assert factors.v.shape[0] == 2


@pytest.mark.parametrize(
    ("params", "where", "options", "match"),
    [
        ({"a": np.ones((3, 2))}, "b", {}, "matches none"),
        ({"a": np.ones(3)}, "a", {}, "no matrix"),
        ({"a": np.full((3, 2), np.nan)}, "a", {}, "'a' holds NaN or infinity"),
        ({"a": np.ones((3, 2))}, "a", {"tolerance": 2}, "tolerance is 2"),
        ({"a": np.ones((3, 2))}, "a", {"axis": 4}, "axes between -2 and 1"),
    ],
)
def test_what_has_no_factors_is_named(params, where, options, match):
    with pytest.raises(ValueError, match=match):
        factorize(params, where, **options)


def test_not_inside_jit():
    with pytest.raises(TypeError, match="a rank is a shape"):
        jax.jit(lambda w: factorize({"kernel": w}).factors)(W)
