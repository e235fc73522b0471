"""Tied NNX weights: one weight, selected by any of its paths, and counted once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import L1, L2, describe, kernels, penalized

from problems import lenient


class Block(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 2, use_bias=False, rngs=rngs)


class Model(nnx.Module):
    """`out/kernel` is `emb/kernel`, and `twin` is the block `block`."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.emb = nnx.Linear(2, 3, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(2, 3, use_bias=False, rngs=rngs)
        self.block = Block(rngs)
        self.out.kernel = self.emb.kernel
        self.emb.kernel[...] = jnp.ones((2, 3))
        self.block.linear.kernel[...] = 2 * jnp.ones((2, 2))
        self.twin = self.block


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("out/*", 6),
        ("emb/*", 6),
        (("out/*", "emb/*"), 6),
        ("twin/**", 8),
        ("twin/linear/kernel", 8),
        ("*/linear/*", 8),
        ("**/kernel", 14),
        (kernels, 14),
    ],
)
def test_a_pattern_may_name_any_path_and_counts_once(where, value):
    penalty = L1(1.0).on(where)
    assert penalty(Model()) == value
    assert nnx.jit(lambda model: penalty(model))(Model()) == value


def test_within_a_tree_of_modules():
    assert (L1(1.0).on("b/out/*") + L2(1.0).on("a/twin/**"))({"a": Model(), "b": Model()}) == 6 + 16


def test_what_is_left_out_by_one_path_is_left_out():
    assert L1(1.0).on(exclude="out/*")(Model()) == 8
    with pytest.raises(ValueError, match="matches none"):
        L1(1.0).on("out/*", exclude="emb/*")(Model())


def test_prox_changes_the_weight_in_all_its_places():
    new = L1(1.0).on("out/*").prox(Model(), 0.25)
    assert new.emb.kernel is new.out.kernel
    np.testing.assert_array_equal(new.emb.kernel[...], 0.75)
    np.testing.assert_array_equal(new.twin.linear.kernel[...], 2)


def test_it_is_described_once():
    table = describe(L1(1.0).on("out/*"), Model())
    assert sorted(table) == ["block/linear/kernel", "emb/kernel"]
    assert table["emb/kernel"]["penalty"] == "L1(1.0)"


def test_it_trains_by_any_of_its_names():
    def zeros_after(where):
        model = Model()
        optimizer = nnx.Optimizer(model, lenient(penalized(optax.sgd(0.1), L1(3.0).on(where))), wrt=nnx.Param)
        for _ in range(8):
            grads = jax.tree.map(jnp.zeros_like, nnx.state(model, nnx.Param))
            optimizer.update(model, grads)
        return jnp.sum(model.out.kernel[...] == 0)

    assert zeros_after("emb/*") == 6
    assert zeros_after("block/**") == 0


def test_a_wrong_name_is_told_what_there_is():
    with pytest.raises(ValueError, match=r"matches none of the 2 leaves.*'emb/kernel'"):
        L1(1.0).on("outs/*")(Model())
