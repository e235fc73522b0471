"""One spelling of a path, whatever the tree and however its leaves are boxed."""

from typing import Any, NamedTuple

import equinox as eqx
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import FrozenDict

from penalties import L1, kernels

PENALTY = L1(1.0)


class Pair(NamedTuple):
    kernel: Any
    bias: Any


@flax.struct.dataclass
class Layer:
    kernel: Any
    bias: Any
    units: int = flax.struct.field(pytree_node=False, default=2)


class EqxLayer(eqx.Module):
    kernel: jax.Array
    bias: jax.Array
    activation: Any = eqx.field(static=True, default=None)


class EqxWithFunction(eqx.Module):
    kernel: jax.Array
    activation: Any


class NNXModel(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(2, 2, rngs=nnx.Rngs(0))


KERNEL, BIAS = jnp.full((2, 2), 3.0), jnp.full(2, 5.0)

LAYER = {"kernel": KERNEL, "bias": BIAS}


def nnx_model() -> NNXModel:
    model = NNXModel()
    model.dense.kernel[...], model.dense.bias[...] = KERNEL, BIAS
    return model


TREES = {
    "dict": lambda: {"dense": LAYER},
    "linen_variables": lambda: {"params": {"dense": LAYER}},
    "linen_variables_with_statistics": lambda: {"params": {"dense": LAYER}, "batch_stats": {"dense": LAYER}},
    "frozen_dict": lambda: FrozenDict({"dense": LAYER}),
    "frozen_variables": lambda: FrozenDict({"params": {"dense": LAYER}}),
    "partitioned": lambda: {"dense": jax.tree.map(lambda w: nn.Partitioned(w, (None,) * w.ndim), LAYER)},
    "logically_partitioned_variables": lambda: {
        "params": {"dense": jax.tree.map(lambda w: nn.LogicallyPartitioned(w, (None,) * w.ndim), LAYER)}
    },
    "nnx_module": nnx_model,
    "nnx_state": lambda: nnx.state(nnx_model()),
    "nnx_param_state": lambda: nnx.state(nnx_model(), nnx.Param),
    "nnx_pure_dict": lambda: nnx.to_pure_dict(nnx.state(nnx_model())),
    "named_tuple": lambda: {"dense": Pair(KERNEL, BIAS)},
    "dataclass": lambda: {"dense": Layer(KERNEL, BIAS)},
    "equinox": lambda: {"dense": EqxLayer(KERNEL, BIAS)},
    "numpy": lambda: {"dense": {"kernel": np.asarray(KERNEL), "bias": np.asarray(BIAS)}},
}

every_tree = pytest.mark.parametrize("make", TREES.values(), ids=TREES)


@every_tree
def test_a_path_is_spelled_the_same_in_every_tree(make):
    params = make()
    assert PENALTY.on("dense/kernel")(params) == 12
    assert PENALTY.on("**/bias")(params) == 10
    assert PENALTY.on("dense/*")(params) == 22
    assert PENALTY.on(kernels)(params) == 12
    assert PENALTY.on(lambda path, leaf: path == "dense/bias" and leaf.shape == (2,))(params) == 10


@every_tree
def test_default_selection_counts_each_trained_weight_once(make):
    assert PENALTY(make()) == 22


@every_tree
def test_prox_returns_the_same_kind_of_tree(make):
    params = make()
    z = PENALTY.on("**/bias").prox(params, 1.0)
    assert type(z) is type(params)
    assert jax.tree.structure(z) == jax.tree.structure(params)
    assert PENALTY.on("dense/kernel")(z) == 12
    assert PENALTY.on("dense/bias")(z) == 8
    assert PENALTY.on("dense/bias")(params) == 10, "the params given are not changed"


@every_tree
def test_a_mask_by_path_fits_every_tree(make):
    assert PENALTY.on({"dense": {"kernel": True, "bias": False}})(make()) == 12
    assert PENALTY.on({"dense": {"kernel": False, "bias": True}})(make()) == 10


@every_tree
def test_strengths_by_path_fit_every_tree(make):
    assert L1({"dense": {"kernel": 1.0, "bias": 10.0}})(make()) == 112


@every_tree
def test_gradients_have_the_structure_of_the_tree(make):
    params = make()
    if isinstance(params, NNXModel):
        gradient = nnx.grad(lambda model: PENALTY.on("**/bias")(model))(params)
        np.testing.assert_array_equal(gradient["dense"]["bias"][...], 1)
        np.testing.assert_array_equal(gradient["dense"]["kernel"][...], 0)
        return
    arrays, rest = eqx.partition(params, eqx.is_inexact_array)
    gradient = jax.grad(lambda w: PENALTY.on("**/bias")(eqx.combine(w, rest)))(arrays)
    assert jax.tree.structure(gradient) == jax.tree.structure(arrays)
    assert sorted(float(jnp.sum(g)) for g in jax.tree.leaves(gradient))[-1] == 2
    assert sum(float(jnp.sum(g)) for g in jax.tree.leaves(gradient)) == 2


def test_params_may_be_written_in_the_pattern_of_linen_variables():
    for params in (TREES["dict"](), TREES["linen_variables"]()):
        assert PENALTY.on("params/dense/kernel")(params) == 12


def test_lists_and_tuples_are_numbered():
    params = [{"w": KERNEL}, (BIAS, 2 * BIAS)]
    assert PENALTY.on("0/w")(params) == 12
    assert PENALTY.on("1/1")(params) == 20
    assert PENALTY.on("1/*")(params) == 30
    z = PENALTY.on("1/0").prox(params)
    assert isinstance(z[1], tuple)
    assert z[1][1] is params[1][1]


def test_a_bare_array_is_selected_by_everything():
    assert PENALTY.on("**")(BIAS) == 10
    assert PENALTY(BIAS) == 10


def test_stars_stay_in_a_segment_and_double_stars_cross():
    params = {"a": {"b": {"w": jnp.ones(1)}, "w": jnp.full(1, 10.0)}, "w": jnp.full(1, 100.0)}
    assert PENALTY.on("*/w")(params) == 10
    assert PENALTY.on("**/w")(params) == 111
    assert PENALTY.on("a/**")(params) == 11
    assert PENALTY.on("a/**/w")(params) == 11
    assert PENALTY.on("a/*/w")(params) == 1
    assert PENALTY.on("w")(params) == 100


def test_brackets_and_question_marks_match_characters():
    params = {f"dense_{i}": jnp.full(1, 10.0**i) for i in range(3)}
    assert PENALTY.on("dense_[01]")(params) == 11
    assert PENALTY.on("dense_?")(params) == 111


def test_function_leaves_of_equinox_modules_are_kept():
    layer = EqxWithFunction(KERNEL, jax.nn.relu)
    assert PENALTY(layer) == 12
    z = PENALTY.prox(layer)
    assert z.activation is jax.nn.relu
    np.testing.assert_array_equal(z.kernel, 2)


def test_a_function_leaf_cannot_be_selected():
    with pytest.raises(TypeError, match="'activation' is of type"):
        PENALTY.on("*")(EqxWithFunction(KERNEL, jax.nn.relu))
