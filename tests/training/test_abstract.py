"""States from shapes alone: `init` of `jax.ShapeDtypeStruct`, as optax's own optimizers take it."""

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from penalties import L1, L2, GroupLasso, add_penalty, penalized, proximal

from loops import assert_same
from problems import lenient

ADAM = lenient(optax.adam(1e-3))
PENALTY = L1(0.1).on("w") + L2(0.2)
TRANSFORMS = {
    "penalized": penalized(ADAM, PENALTY),
    "penalized, bfloat16": penalized(ADAM, GroupLasso(0.1), accumulator_dtype=jnp.bfloat16),
    "add_penalty": add_penalty(PENALTY),
    "proximal": proximal(PENALTY, 0.1),
    "schedule": penalized(ADAM, lambda step: 0.5 * PENALTY),
}
PARAMS = {
    "w": jnp.ones((4, 2)),
    "half": jnp.ones(4, jnp.bfloat16),
    "complex": jnp.ones(3, jnp.complex64),
    "count": jnp.arange(3),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_state_of_shapes_is_that_of_arrays(transform):
    shapes = jax.eval_shape(lambda: PARAMS)
    assert isinstance(shapes["w"], jax.ShapeDtypeStruct)
    state = transform.init(shapes)
    assert_same(state, transform.init(PARAMS))
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = jax.eval_shape(transform.update, jax.tree.map(jnp.zeros_like, PARAMS), state, PARAMS)
    assert updates["w"].shape == (4, 2)


@pytest.mark.parametrize("transform", [TRANSFORMS["penalized, bfloat16"]])
def test_a_module_of_shapes(transform):
    def model():
        return nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param)

    assert_same(transform.init(nnx.eval_shape(model)), transform.init(model()))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_eval_shape_of_init(transform):
    abstract = jax.eval_shape(transform.init, PARAMS)
    concrete = transform.init(PARAMS)
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, concrete)


def test_a_selection_is_checked_of_shapes_too():
    with pytest.raises(ValueError, match="matches none of the 1 leaves: 'w'"):
        penalized(ADAM, L1(0.1).on("v")).init({"w": jax.ShapeDtypeStruct((4,), jnp.float32)})


def test_a_value_needs_numbers():
    shapes = {"w": jax.ShapeDtypeStruct((4,), jnp.float32)}
    assert jax.eval_shape(L1(0.1), shapes).shape == ()
    with pytest.raises(TypeError, match="ShapeDtypeStruct"):
        L1(0.1)(shapes)
