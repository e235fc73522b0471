"""What is dead, on one hidden layer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import shrink

from networks.mlp import X, mlp

pytestmark = pytest.mark.usefixtures("promotion")


class TestDeadness:
    """What is dead, on one hidden layer."""

    def test_a_relu_that_a_negative_bias_keeps_shut(self, weights):
        weights["a"] = weights["a"].at[:, 2].set(0)
        weights["b"] = weights["b"].at[2].set(-1)
        small = shrink(mlp, weights, X, fold=False)
        np.testing.assert_array_equal(small.kept["a axis 1"], [0, 1, 3, 4, 5, 6, 7])

    def test_a_relu_that_a_positive_bias_keeps_open_is_folded(self, weights):
        weights["a"] = weights["a"].at[:, 2].set(0)
        weights["b"] = weights["b"].at[2].set(1)
        assert len(shrink(mlp, weights, X, fold=False).kept["a axis 1"]) == 8
        small = shrink(mlp, weights, X)
        assert len(small.kept["a axis 1"]) == 7
        np.testing.assert_allclose(small.params["d"], weights["d"] + weights["c"][2], rtol=1e-6)

    def test_without_a_bias_nothing_is_folded(self, weights):
        weights["a"] = weights["a"].at[:, 2].set(0)
        weights["b"] = weights["b"].at[2].set(1)
        small = shrink(lambda p, x: mlp(p, x) - p["d"] * 2, weights, X)  # d is used twice
        assert len(small.kept["a axis 1"]) == 8

    def test_chains_backwards(self):
        rng = np.random.default_rng(0)
        w = [rng.normal(size=s).astype(np.float32) for s in ((3, 6), (6, 5), (5, 4), (4, 2))]
        w[2][[0, 1]] = 0  # units 0 and 1 of the second layer are read by nobody
        w[1][:3, 2:] = 0  # units 0, 1, 2 of the first are read by these two alone
        small = shrink(lambda w, x: functools.reduce(lambda h, k: jnp.tanh(h @ k), w, x), w, X)
        assert [len(k) for k in small.kept.values()] == [3, 3, 4]

    def test_a_unit_that_only_feeds_itself(self):
        """The largest dead set is not found by going through the layers once."""
        rng = np.random.default_rng(0)
        w = {
            n: rng.normal(size=s).astype(np.float32)
            for n, s in {"i": (3, 4), "h": (4, 4), "o": (4, 2)}.items()
        }
        w["o"][1] = 0
        w["h"][1] = [0, 1, 0, 0]

        def recurrent(w, x):
            step = lambda h, x: (jnp.tanh(x @ w["i"] + h @ w["h"]), None)  # noqa: E731
            return jax.lax.scan(step, jnp.zeros(4), x)[0] @ w["o"]

        small = shrink(recurrent, w, X)
        np.testing.assert_array_equal(*small.kept.values(), [0, 2, 3])
        np.testing.assert_allclose(small.apply(small.params, X), recurrent(w, X), rtol=1e-5)

    def test_at_the_border_of_an_image_a_constant_is_none(self):
        """A padded convolution sums fewer terms there: nothing can be folded."""
        rng = np.random.default_rng(0)
        p = {
            "a": rng.normal(size=(1, 1, 2, 4)),
            "b": np.ones(4),
            "c": rng.normal(size=(3, 3, 4, 2)),
            "d": np.zeros(2),
        }
        p = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), p)
        p["a"] = p["a"].at[..., 1].set(0)

        def network(padding, p, x):
            dims = ("NHWC", "HWIO", "NHWC")
            h = jax.lax.conv_general_dilated(x, p["a"], (1, 1), "SAME", dimension_numbers=dims) + p["b"]
            return jax.lax.conv_general_dilated(h, p["c"], (1, 1), padding, dimension_numbers=dims) + p["d"]

        x = rng.normal(size=(2, 5, 5, 2)).astype(np.float32)
        for padding, left in (("SAME", 4), ("VALID", 3)):
            fn = functools.partial(network, padding)
            small = shrink(fn, p, x)
            assert len(small.kept["a axis 3"]) == left
            np.testing.assert_allclose(small.apply(small.params, x), fn(p, x), rtol=1e-5, atol=1e-5)

    def test_a_whole_layer_that_is_dead_keeps_one_unit(self, weights):
        weights["a"] = jnp.zeros_like(weights["a"])
        small = shrink(mlp, weights, X)
        assert len(small.kept["a axis 1"]) == 1
        np.testing.assert_allclose(small.apply(small.params, X), mlp(weights, X), rtol=1e-5, atol=1e-6)

    def test_constants_that_cancel_are_not_taken_for_zeros_of_what_is_left(self):
        """Unit k of the second layer is 0 because two constants cancel: it stays alone, and has to stay 0."""
        w = {"b": jnp.array([1.0, 1.0]), "m": jnp.array([[1.0], [-1.0]]), "o": jnp.ones((1, 2))}

        def network(w, x):
            return (jnp.zeros((len(x), 2)) + w["b"]) @ w["m"] @ w["o"] + x[:, :2]

        small = shrink(network, w, X)
        np.testing.assert_array_equal(small.apply(small.params, X), network(w, X))

    def test_a_mean_over_units_keeps_the_count_of_the_large_network(self):
        """Called again on the small arrays, a norm divides by another number."""
        p = {
            "a": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32),
            "c": np.ones((8, 2), np.float32),
        }
        p["a"][:, 4:] = 0

        def network(p, x):
            h = x @ p["a"]
            return h / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-6) @ p["c"]

        small = shrink(network, p, X)
        assert small.params["a"].shape == (3, 4)
        np.testing.assert_allclose(small.apply(small.params, X), network(p, X), rtol=1e-5, atol=1e-6)
        assert np.abs(network(small.params, X) - network(p, X)).max() > 0.1

    def test_leaves_that_are_not_used_stay(self, weights):
        weights |= {
            "unused": jnp.zeros((5, 5)),
            "table": jnp.zeros((6, 3)),
            "count": jnp.zeros((), jnp.int32),
        }
        small = shrink(lambda p, x: mlp(p, x + p["table"][:4]), weights, X)
        assert small.params["unused"].shape == (5, 5)
        assert small.params["table"].shape == (6, 3)

    def test_no_dead_unit(self, weights):
        small = shrink(mlp, weights, X)
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), small.params, weights))
        assert all(a is not b for a, b in zip(small.params.values(), weights.values(), strict=True))
        assert "no unit is dead" in repr(small.report)
