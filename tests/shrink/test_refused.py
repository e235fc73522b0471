"""What is not understood stays as it is, or is an error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from penalties import couplings, shrink

from networks.mlp import X, mlp

pytestmark = pytest.mark.usefixtures("promotion")


class TestRefused:
    """What is not understood stays as it is, or is an error."""

    def test_an_unknown_primitive_pins_all_that_it_touches(self, weights):
        from jax.extend.core import Primitive
        from jax.interpreters import mlir

        double = Primitive("double_in_a_way")
        double.def_abstract_eval(lambda x: x)
        mlir.register_lowering(double, mlir.lower_fun(lambda x: x + x, multiple_results=False))
        weights["a"] = weights["a"].at[:, 2:].set(0)
        weights["b"] = weights["b"].at[2:].set(0)

        def network(p, x):
            return double.bind(x @ p["a"] + p["b"]) @ p["c"] + p["d"]

        (pinned,) = {axis.why for axis in couplings(network, weights, X).pinned if axis.length == 8}
        assert "double_in_a_way" in pinned
        with jax.disable_jit(False):
            small = shrink(network, weights, X)
        assert {n: x.shape for n, x in small.params.items()} == {n: x.shape for n, x in weights.items()}

    @pytest.mark.parametrize(
        "through",
        [
            lambda h: jax.lax.cond(h.sum() > 0, jnp.tanh, jnp.sin, h),
            lambda h: jnp.fft.fft(h).real,
            lambda h: jax.lax.while_loop(lambda h: h.sum() > 1e3, lambda h: h / 2, h),
            lambda h: h.at[0].set(1.0),
            lambda h: jax.nn.softmax(h),
            lambda h: jnp.cumsum(h, 1),
            lambda h: jnp.sort(h, 1),
            lambda h: h * jnp.arange(8.0),
            lambda h: h[:, jnp.array([3, 1, 2, 0, 7, 6, 5, 4])],
            lambda h: jax.lax.dynamic_slice(h, (0, 1), (4, 7)),
        ],
    )
    def test_other_operations_pin_or_are_right(self, weights, through):
        weights["a"] = weights["a"].at[:, 2:].set(0)
        weights["b"] = weights["b"].at[2:].set(0)

        def network(p, x):
            h = through(x @ p["a"] + p["b"])
            return h @ p["c"][: h.shape[1]] + p["d"]

        small = shrink(network, weights, X)
        np.testing.assert_allclose(small.apply(small.params, X), network(weights, X), rtol=1e-5, atol=1e-5)

    def test_another_shape_at_which_a_unit_lives(self):
        """The first rows of a table are 0, the others are not."""
        table = np.zeros((6, 4), np.float32)
        table[3:] = 1
        p = {"table": table, "a": np.zeros((2, 4), np.float32), "c": np.ones((4, 2), np.float32)}
        p["a"][:, :2] = 1

        def network(p, x):
            return (x @ p["a"] + p["table"][: x.shape[1]]) @ p["c"]

        small = shrink(network, p, np.ones((1, 3, 2), np.float32))
        assert len(small.kept["a axis 1"]) == 2
        assert small.apply(small.params, np.ones((5, 3, 2), np.float32)).shape == (5, 3, 2)
        with pytest.raises(ValueError, match="shrink it with inputs of these shapes"):
            small.apply(small.params, np.ones((1, 5, 2), np.float32))

    def test_nan(self, weights):
        weights["b"] = weights["b"].at[1].set(jnp.nan)
        with pytest.raises(ValueError, match="leaf 'b' holds NaN"):
            shrink(mlp, weights, X)

    def test_donated(self, weights):
        weights["b"].delete()
        with pytest.raises(ValueError, match="'b' was donated"):
            shrink(mlp, weights, X)

    def test_traced(self, weights):
        with pytest.raises(TypeError, match="outside jit"):
            jax.jit(lambda p: shrink(mlp, p, X).params)(weights)

    def test_no_function(self, weights):
        with pytest.raises(TypeError, match="got a dict"):
            shrink(weights, X)

    def test_random_numbers(self, weights):
        def network(p, x, key):
            return mlp(p, x * jax.random.bernoulli(key, 0.5, x.shape))

        with pytest.raises(ValueError, match=r"draws random numbers .* training mode"):
            shrink(network, weights, X, jax.random.key(0))

    def test_side_effects(self, weights):
        def network(p, x):
            jax.debug.print("{}", x.sum())
            return mlp(p, x)

        with pytest.raises(ValueError, match="side effects"):
            shrink(network, weights, X)

    def test_control_flow_that_depends_on_values(self, weights):
        with pytest.raises(jax.errors.ConcretizationTypeError) as error:
            shrink(lambda p, x: mlp(p, x) if x.sum() > 0 else x, weights, X)
        assert "jnp.where" in "".join(error.value.__notes__)

    def test_params_that_do_not_fit(self, weights):
        with pytest.raises(KeyError):
            shrink(mlp, {"a": weights["a"]}, X)
        small = shrink(mlp, weights, X)
        with pytest.raises(
            ValueError, match=r"leaf 'c' has shape \(7, 2\), and in the small network \(8, 2\)"
        ):
            small.apply(small.params | {"c": jnp.ones((7, 2))}, X)
        with pytest.raises(ValueError, match="another structure"):
            small.apply({"a": weights["a"]}, X)

    def test_a_module_that_changes_itself(self):
        class Counter(nnx.Module):
            def __init__(self):
                self.count = nnx.Variable(jnp.zeros(()))

            def __call__(self, x):
                self.count[...] += 1
                return x

        with pytest.raises(ValueError, match=r"changes its variable .*count.* model.eval"):
            shrink(Counter(), X)
