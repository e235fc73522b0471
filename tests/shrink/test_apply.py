"""The small network applied: in transformations, of models, to shapes."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from penalties import shrink

from networks import CASES
from networks.mlp import X, mlp

pytestmark = pytest.mark.usefixtures("promotion")


class TestApply:
    def test_under_jit_grad_and_vmap(self, weights):
        weights["a"] = weights["a"].at[:, 2:].set(0)
        weights["b"] = weights["b"].at[2:].set(0)
        small = shrink(mlp, weights, X)
        loss = lambda apply, p: (apply(p, X) ** 2).sum()  # noqa: E731
        ours = jax.jit(jax.grad(functools.partial(loss, small.apply)))(small.params)
        theirs = jax.grad(functools.partial(loss, mlp))(weights)
        np.testing.assert_allclose(ours["a"], theirs["a"][:, :2], rtol=1e-5)
        np.testing.assert_allclose(ours["d"], theirs["d"], rtol=1e-5)
        rows = jax.vmap(small.apply, (None, 0))(small.params, X[:, None])
        np.testing.assert_allclose(rows[:, 0], mlp(weights, X), rtol=1e-5, atol=1e-6)

    def test_the_derivative_of_relu_at_0_is_that_of_the_large_network(self, weights):
        """A maximum, as which relu is traced, has ½ there."""
        weights["a"], weights["b"] = weights["a"].at[:, 2:].set(0), jnp.zeros(8)
        zeros = np.zeros((4, 3), np.float32)
        small = shrink(mlp, weights, X)
        ours = jax.grad(lambda p: small.apply(p, zeros).sum())(small.params)
        theirs = jax.grad(lambda p: mlp(p, zeros).sum())(weights)
        np.testing.assert_array_equal(ours["b"], theirs["b"][:2])

    def test_of_models(self):
        case = CASES["nnx mlp"]()
        case.fn.train()
        small = shrink(case.fn, *case.inputs(2))
        assert not case.fn.dropout.deterministic  # the user's module is as it was
        assert isinstance(small.params, nnx.State)
        assert small.sizes == {"first": 12, "second": 8, "out": 3}
        assert small.apply(small.params, *case.inputs(3)).shape == (3, 3)

    def test_of_linen_with_settings(self):
        class Net(nn.Module):
            @nn.compact
            def __call__(self, x, train):
                return nn.Dense(2)(nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(x))))

        shapes = jax.eval_shape(lambda: Net().init(jax.random.key(0), X, False))
        params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
        params["params"]["BatchNorm_0"]["scale"][2:] = 0
        params["params"]["BatchNorm_0"]["bias"][2:] = 0.5
        small = shrink(Net().apply, params, X, False)
        assert small.sizes["Dense_0"] == 2
        expected = Net().apply(params, X, False)
        np.testing.assert_allclose(small.apply(small.params, X, False), expected, rtol=1e-6)
        assert small.report.parameters == (20 + 20 + 12, 6 + 2 + 8 + 6)

    def test_shapes_alone_will_do(self, weights):
        small = shrink(mlp, weights, jax.ShapeDtypeStruct((1, 3), jnp.float32))
        assert small.report.outputs is None
        assert small.apply(small.params, X).shape == (4, 2)
