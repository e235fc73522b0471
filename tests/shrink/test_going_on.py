"""Training goes on in the small network, and the small params go back into models."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import L1, penalized, shrink

from keras_case import ignore_numpy_copies
from networks.case import of_nnx
from networks.in_keras import keras_cnn
from networks.in_nnx import NNXBlock

pytestmark = pytest.mark.usefixtures("promotion")

X = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)


def mlp(params, x):
    return jnp.tanh(x @ params["a"]["kernel"]) @ params["c"]["kernel"]


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    a, c = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((3, 8), (8, 2)))
    return {"a": {"kernel": a.at[:, 3:].set(0)}, "c": {"kernel": c}}


@pytest.mark.slow
def test_the_optimizer_goes_on_where_it_stopped(params):
    optimizer = penalized(optax.adam(0.01), L1(0.01))
    grad = jax.grad(lambda p, apply: (apply(p, X) ** 2).sum())
    state = optimizer.init(params)
    _, state = optimizer.update(grad(params, mlp), state, params)
    small = shrink(mlp, params, X)
    ours, our_state = optimizer.update(grad(small.params, small.apply), small.along(state), small.params)
    theirs, _ = optimizer.update(grad(params, mlp), state, params)
    np.testing.assert_allclose(ours["a"]["kernel"], theirs["a"]["kernel"][:, :3], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(ours["c"]["kernel"], theirs["c"]["kernel"][:3], rtol=1e-4, atol=1e-7)
    assert our_state.inner_state[0].count == 2


def test_masks_and_averages(params):
    small = shrink(mlp, params, X)
    mask = {"a": {"kernel": np.ones((3, 8), bool)}, "c": {"kernel": True}}
    assert small.along(mask)["a"]["kernel"].shape == (3, 3)
    assert small.along(mask)["c"]["kernel"] is True
    each = {"ema": params, "step": jnp.zeros(()), "scale": {"a": {"kernel": jnp.ones((1, 8))}}}
    cut = small.along(each)
    assert jax.tree.map(jnp.shape, cut["ema"]) == jax.tree.map(jnp.shape, small.params)
    assert cut["scale"]["a"]["kernel"].shape == (1, 3)


def test_states_that_do_not_go_along(params):
    small = shrink(mlp, params, X)
    with pytest.raises(ValueError, match="make this state anew"):
        small.along(optax.adafactor(0.1, min_dim_size_to_factor=2).init(params))
    with pytest.raises(ValueError, match="no leaf of this tree"):
        small.along({"other": jnp.ones((3, 8))})


class MLP(nnx.Module):
    def __init__(self, rngs, width=8):
        self.first, self.norm = nnx.Linear(3, width, rngs=rngs), nnx.BatchNorm(width, rngs=rngs)
        self.out = nnx.Linear(width, 2, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.norm(self.first(x))))


def killed(model):
    model.norm.scale[...] = model.norm.scale[...].at[3:].set(0)
    model.norm.bias[...] = model.norm.bias[...].at[3:].set(0.5)
    return model


class TestNNX:
    def test_the_module_and_its_optimizer(self):
        model = killed(of_nnx(MLP, None).fn)
        optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
        small = shrink(model, X)
        new = small.into(model)
        assert model.first.kernel.shape == (3, 8)
        model.eval()
        expected = model(X)
        assert not new.norm.use_running_average  # in the mode the model was in
        new.eval()
        np.testing.assert_allclose(new(X), expected, rtol=1e-5, atol=1e-6)
        assert small.along(optimizer).opt_state[0].mu["first"]["kernel"].shape == (3, 3)
        nnx.update(model, nnx.state(new))
        np.testing.assert_allclose(model(X), expected, rtol=1e-5, atol=1e-6)

    def test_a_module_that_was_built_small(self):
        small = shrink(killed(of_nnx(MLP, None).fn), X)
        built = MLP(nnx.Rngs(0), width=small.sizes["first"])
        np.testing.assert_allclose(small.into(built).first.kernel[...], small.params["first"]["kernel"][...])

    def test_a_block_with_convolutions(self):
        model = of_nnx(lambda rngs: NNXBlock(2, 6, 1, rngs), None).fn
        model.norm.scale[...] = model.norm.scale[...].at[2:].set(0)
        model.norm.bias[...] = model.norm.bias[...].at[2:].set(0)
        small = shrink(model, jax.ShapeDtypeStruct((1, 5, 5, 2), jnp.float32))
        assert small.into(model).first.kernel.shape == (3, 3, 2, 2)

    def test_a_number_that_python_worked_out(self):
        class Normed(nnx.Module):
            def __init__(self, rngs):
                self.first, self.out = nnx.Linear(3, 8, rngs=rngs), nnx.Linear(8, 2, rngs=rngs)

            def __call__(self, x):
                h = self.first(x)
                return self.out(h / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-6))

        model = of_nnx(Normed, None).fn
        model.first.kernel[...] = model.first.kernel[...].at[:, 3:].set(0)
        model.first.bias[...] = model.first.bias[...].at[3:].set(0)
        with pytest.raises(ValueError, match=r"div: 3\.?0? against 8.*sizes: \{'first': 3"):
            shrink(model, X).into(model)

    def test_heads_that_the_module_counts(self):
        def attention(rngs):
            return nnx.MultiHeadAttention(4, 3, 8, decode=False, rngs=rngs)

        model = of_nnx(attention, None).fn
        for layer in (model.query, model.key, model.value):
            layer.kernel[...] = layer.kernel[...].at[:, 1:].set(0)
            layer.bias[...] = layer.bias[...].at[1:].set(0)
        small = shrink(model, X[None])
        assert small.sizes["query"] == (1, 2)
        with pytest.raises(TypeError, match="cannot reshape") as error:
            small.into(model)
        assert "shrunk.sizes" in "".join(error.value.__notes__)


def test_linen_by_sizes(params):
    class Net(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="c")(nn.relu(nn.Dense(self.width, name="a")(x)))

    with_bias = {n: p | {"bias": jnp.zeros(p["kernel"].shape[1])} for n, p in params.items()}
    small = shrink(Net(8), {"params": with_bias}, X)
    checked = small.into(Net(small.sizes["a"]))
    np.testing.assert_allclose(
        Net(3).apply(checked, X), Net(8).apply({"params": with_bias}, X), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(Exception, match="expected to generate shape") as error:
        small.into(Net(8))
    assert "shrunk.sizes" in "".join(error.value.__notes__)


def test_equinox_by_sizes():
    model = eqx.nn.MLP(3, 2, 8, 1, key=jax.random.key(0))
    first = model.layers[0]
    dead = (first.weight.at[3:].set(0), first.bias.at[3:].set(0))
    model = eqx.tree_at(lambda m: (m.layers[0].weight, m.layers[0].bias), model, dead)
    fn = lambda m, x: jax.vmap(m)(x)  # noqa: E731
    small = shrink(fn, model, X)
    new = small.into(eqx.nn.MLP(3, 2, small.sizes["layers/0"], 1, key=jax.random.key(1)))
    assert new.width_size == 3
    np.testing.assert_allclose(fn(new, X), fn(model, X), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
class TestKeras:
    @ignore_numpy_copies
    def test_a_clone_with_new_units_is_saved_and_loaded(self, tmp_path):
        import keras

        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                keras.layers.Conv2D(5, 3, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(7, activation="gelu"),
                keras.layers.Dense(2),
            ]
        )
        conv, _, _, dense, _ = model.layers
        conv.kernel.assign(np.array(conv.kernel.value) * [1, 0, 1, 0, 0])
        dense.kernel.assign(np.array(dense.kernel.value) * [0, 1, 1, 0, 0, 0, 1])
        x = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype(np.float32)
        small = shrink(model, x)
        new = small.into(model)
        assert (new.layers[0].filters, new.layers[3].units, model.layers[0].filters) == (2, 3, 5)
        np.testing.assert_allclose(new(x), model(x, training=False), rtol=1e-4, atol=1e-5)
        new.save(tmp_path / "small.keras")
        np.testing.assert_array_equal(keras.models.load_model(tmp_path / "small.keras")(x), new(x))

    def test_another_model(self):
        import keras

        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        small = shrink(model, X)
        with pytest.raises(ValueError, match=r"has shape \(3, 5\), against \(3, 4\)"):
            small.into(keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(2)]))
        with pytest.raises(ValueError, match="variables, against"):
            small.into(keras_cnn())
