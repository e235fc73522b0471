"""What counts as a weight, and how often: modules of Flax, statistics, tied weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from penalties import L1

PENALTY = L1(1.0)

KERNEL, BIAS = jnp.full((2, 2), 3.0), jnp.full(2, 5.0)


class Tied(nnx.Module):
    def __init__(self):
        self.embed = nnx.Embed(3, 2, rngs=nnx.Rngs(0))
        self.decode = nnx.Linear(2, 2, use_bias=False, rngs=nnx.Rngs(0))
        self.embed.embedding[...] = jnp.ones((3, 2))
        self.decode.kernel = self.embed.embedding


def test_tied_weights_count_once():
    assert PENALTY(Tied()) == 6
    assert PENALTY({"a": Tied(), "b": Tied()}) == 12
    assert PENALTY(nnx.state(Tied())) == 6


def test_prox_keeps_the_tie():
    z = PENALTY.prox(Tied(), 0.25)
    assert z.embed.embedding is z.decode.kernel
    np.testing.assert_array_equal(z.embed.embedding[...], 0.75)


def test_prox_leaves_the_module_it_was_given_alone():
    model = Tied()
    z = PENALTY.prox(model, 0.25)
    assert z is not model
    np.testing.assert_array_equal(model.embed.embedding[...], 1)


def test_tied_weights_count_once_in_nnx_jit_and_grad():
    assert nnx.jit(lambda model: PENALTY(model))(Tied()) == 6
    gradient = nnx.grad(lambda model: PENALTY(model))(Tied())
    assert sum(float(jnp.sum(g)) for g in jax.tree.leaves(gradient)) == 6


class Stateful(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.count = nnx.Variable(jnp.ones(7))


def test_statistics_and_random_states_are_never_penalized():
    model = Stateful()
    assert PENALTY(model) == 2, "the scale of ones, the bias of zeros"
    before = {k: np.asarray(jax.random.key_data(v) if k[-1] == "key" else v) for k, v in flat_state(model)}
    z = PENALTY.prox(model, 0.25)
    after = {k: np.asarray(jax.random.key_data(v) if k[-1] == "key" else v) for k, v in flat_state(z)}
    changed = {k for k in before if not np.array_equal(before[k], after[k])}
    assert changed == {("norm", "scale")}


def flat_state(model):
    return [(path, variable[...]) for path, variable in nnx.to_flat_state(nnx.state(model))]


@pytest.mark.parametrize("where", ["norm/mean", "**/var", "dropout/**", "count"])
def test_statistics_cannot_be_selected_by_path(where):
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(where)(Stateful())


def test_linen_batch_statistics_are_never_penalized():
    variables = nn.BatchNorm(use_running_average=True).init(jax.random.key(0), jnp.ones((2, 3)))
    assert "batch_stats" in variables
    assert PENALTY(variables) == 3
    assert PENALTY.on("**")(variables) == 3
    z = PENALTY.prox(variables, 0.25)
    assert z["batch_stats"]["var"] is variables["batch_stats"]["var"]
    np.testing.assert_array_equal(z["params"]["scale"], 0.75)


def test_nnx_filters_select():
    class Model(nnx.Module):
        def __init__(self):
            self.dense = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
            self.dense.kernel[...], self.dense.bias[...] = KERNEL, BIAS
            self.lora = nnx.LoRAParam(jnp.ones((1, 1)))

    model = Model()
    assert PENALTY.on(nnx.Param)(model) == 23
    assert PENALTY.on(nnx.LoRAParam)(model) == 1
    assert PENALTY.on(nnx.PathContains("bias"))(model) == 10
    assert PENALTY.on(nnx.All(nnx.Param, nnx.Not(nnx.LoRAParam)))(model) == 22
    assert PENALTY.on(nnx.Any(nnx.LoRAParam, nnx.PathContains("bias")))(model) == 11
    assert PENALTY.on(nnx.Param, exclude=nnx.LoRAParam)(model) == 22
    assert PENALTY.on((nnx.Param, nnx.BatchStat), exclude=(nnx.LoRAParam,))(model) == 22
    assert PENALTY.on(nnx.Param)({"plain": BIAS}) == 10


def test_nnx_filter_for_statistics_selects_nothing():
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(nnx.BatchStat)(Stateful())


def test_python_numbers_are_settings_and_not_weights():
    params = {"w": jnp.ones(2), "rate": 0.5}
    assert float(L1(1.0)(params)) == 2.0
    assert L1(1.0).prox(params)["rate"] == 0.5


def test_the_same_variable_twice_in_a_dict_counts_once_and_stays_tied():
    w = nnx.Param(jnp.ones(2))
    params = {"a": w, "b": w}
    assert float(L1(1.0)(params)) == 2.0
    shrunk = L1(1.0).prox(params, 0.5)
    assert shrunk["a"] is shrunk["b"]


def test_a_module_without_params_is_an_error():
    with pytest.raises(TypeError, match="nothing to penalize"):
        L1(1.0)(nnx.Dropout(0.5, rngs=nnx.Rngs(0)))


def test_numbers_alone_are_an_error_that_says_what_to_do():
    with pytest.raises(
        TypeError, match="'rate' is of type float; Python numbers are settings: make weights arrays"
    ):
        L1(1.0)({"rate": 0.5})
