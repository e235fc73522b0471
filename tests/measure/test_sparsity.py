"""`sparsity`: the zeros of every kind of tree, leaf by leaf."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from penalties import kernels, sparsity
from penalties._measure.sparsity import count_true

from trees import PARAMS, NNXNet, linen_variables


class TestSparsity:
    def test_counts(self):
        found = sparsity(PARAMS)
        assert (int(found.zeros), found.size) == (4, 6)
        assert found.share.dtype == jnp.float32
        np.testing.assert_allclose(found.share, 4 / 6, rtol=1e-6)
        assert {path: (int(zeros), float(share)) for path, (zeros, share) in found.leaves.items()} == {
            "dense/bias": (2, 1.0),
            "dense/kernel": (2, 0.5),
        }

    def test_jit_is_eager(self, params):
        eager = sparsity(params)
        jitted = (
            nnx.jit(sparsity)(params) if isinstance(params, nnx.Module) else eqx.filter_jit(sparsity)(params)
        )
        assert jax.tree.structure(eager) == jax.tree.structure(jitted)
        for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(jitted), strict=True):
            assert (a.dtype, a.shape, a.weak_type) == (b.dtype, b.shape, b.weak_type)
            np.testing.assert_array_equal(a, b)

    def test_one_trace_for_many_steps(self):
        @jax.jit
        @chex.assert_max_traces(n=1)
        def step(params):
            return jax.tree.map(lambda w: w / 2, params), sparsity(params, "**/kernel")

        params = PARAMS
        for _ in range(3):
            params, found = step(params)
            assert int(found.zeros) == 2

    def test_carried_by_scan_and_vmap(self):
        batched = jax.vmap(sparsity)({"a": jnp.array([[0.0, 1.0], [0.0, 0.0]])})
        assert batched.share.tolist() == [0.5, 1.0]
        _, history = jax.lax.scan(lambda w, _: (w * 0, sparsity({"a": w})), jnp.ones(3), length=2)
        assert history.zeros.tolist() == [0, 3]
        assert history.size == 3

    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.float8_e4m3fn])
    def test_only_exact_zeros(self, dtype):
        tiny = jnp.finfo(dtype).smallest_subnormal
        values = np.array([0.0, -0.0, 1.0, np.nan, tiny, -tiny], dtype)
        assert int(sparsity({"a": values}).zeros) == 2

    def test_complex_zeros_have_no_part(self):
        values = np.array(
            [0, complex(-0.0, -0.0), 1j, 1, complex(0, np.nan), complex(1e-40, 0)], np.complex64
        )
        assert int(sparsity({"a": values}).zeros) == 2

    @pytest.mark.usefixtures("x64")
    def test_float64(self):
        found = sparsity({"a": jnp.array([0.0, -0.0, 5e-324]), "b": jnp.zeros(1, jnp.complex128)})
        assert (int(found.zeros), found.zeros.dtype, found.share.dtype) == (3, jnp.int32, jnp.float32)

    def test_weights_only(self):
        tree = {"w": jnp.zeros(2), "step": 0, "mask": np.zeros(3, bool), "key": jax.random.key(0)}
        assert list(sparsity(tree).leaves) == ["w"]
        assert set(sparsity(NNXNet()).leaves) == {"first/kernel", "first/bias", "norm/scale", "norm/bias"}
        assert not any("batch_stats" in path for path in sparsity(linen_variables()).leaves)

    @pytest.mark.parametrize(
        "where",
        [
            "**/kernel",
            ("**/kernel", "*/kernel"),
            kernels,
            lambda path, leaf: leaf.ndim == 2,
            {"dense": {"kernel": True, "bias": False}},
            nnx.PathContains("kernel"),
        ],
    )
    def test_where(self, where):
        assert list(sparsity(PARAMS, where).leaves) == ["dense/kernel"]

    def test_where_matches_nothing(self):
        with pytest.raises(ValueError, match=r"Did you mean '\*\*/kernel'"):
            sparsity(PARAMS, "**/kernal")
        with pytest.raises(ValueError, match="matches none of the 2 leaves"):
            sparsity(PARAMS, lambda path, leaf: False)

    def test_where_of_a_wrong_type(self):
        with pytest.raises(TypeError, match="cannot select by 3"):
            sparsity(PARAMS, 3)

    def test_no_weights(self):
        found = sparsity({"step": 1})
        assert (int(found.zeros), float(found.share), found.size, found.leaves) == (0, 0.0, 0, {})
        assert float(sparsity({"a": jnp.zeros((0, 3))}).share) == 0.0

    def test_more_weights_than_an_int32_can_count(self):
        big = jax.ShapeDtypeStruct((80, 8192, 28672), jnp.bfloat16)
        found = jax.eval_shape(sparsity, {"a": big, "b": jnp.zeros(3)})
        assert found.size == 80 * 8192 * 28672 + 3
        assert (found.zeros.dtype, found.leaves["a"].zeros.dtype) == (jnp.float32, jnp.float32)
        assert found.leaves["b"].zeros.dtype == jnp.int32

    @pytest.mark.parametrize("most", [1, 7, 12, 60, 10**6])
    def test_counting_in_parts(self, most):
        mask = jnp.asarray(np.random.default_rng(0).random((3, 4, 5)) < 0.5)
        counted = count_true(mask, most)
        assert counted.dtype == (jnp.int32 if most >= 60 else jnp.float32)
        assert int(counted) == int(mask.sum())
