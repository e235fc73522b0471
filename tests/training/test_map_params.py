"""`optax.tree.map_params` finds what is like params in the states of all transforms."""

import jax
import jax.numpy as jnp
import optax
import pytest

from penalties import L1, L2, GroupLasso, add_penalty, hold_zeros, kernels, penalized, proximal, to_sparsity

PARAMS = {"dense": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}, "last": {"kernel": jnp.ones((4, 2))}}
NAMES = {"dense": {"kernel": "kernel", "bias": "bias"}, "last": {"kernel": "last"}}
ON_KERNELS = L1(0.1).on("**/kernel")
TWO_KINDS = GroupLasso(0.1).on("**/kernel") + L1({"dense": 0.1, "last": 0.2}).on("**/bias") + L2(0.1)
TRANSFORMS = {
    "penalized": penalized(optax.adam(0.1), ON_KERNELS),
    "penalized groups": penalized(optax.adam(0.1), TWO_KINDS, check=True),
    "add_penalty": optax.chain(add_penalty(ON_KERNELS), optax.adam(0.1)),
    "proximal": optax.chain(optax.sgd(0.1, 0.9), proximal(ON_KERNELS, 0.1)),
    "to_sparsity": to_sparsity(optax.adam(0.1), L1(1.0).on(kernels), 0.5, 200),
    "to_sparsity by leaf": to_sparsity(optax.adam(0.1), TWO_KINDS, {"dense": 0.5, "last": 0.6}, 200),
    "hold_zeros": hold_zeros(optax.adam(0.1), "**/kernel"),
}


def is_masked(x):
    return isinstance(x, optax.MaskedNode)


def named(path):
    """What a leaf of a state is of, by the end of its path."""
    names = jax.tree_util.tree_flatten_with_path(NAMES)[0]
    return next((name for end, name in names if path[-len(end) :] == end), "number")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_trees_like_params_are_mapped_and_numbers_apart_from_them(name):
    state = TRANSFORMS[name].init(PARAMS)
    found = optax.tree.map_params(
        TRANSFORMS[name],
        lambda x, name: x if is_masked(x) else name,
        state,
        NAMES,
        transform_non_params=lambda x: jax.tree.map(lambda _: "number", x),
        is_leaf=is_masked,
    )
    expected = [named(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]]
    assert {"kernel", "last"} <= set(expected)
    assert jax.tree.leaves(found) == expected


@pytest.mark.parametrize("name", TRANSFORMS)
def test_of_params_without_leaves_a_selection_is_an_error_in_the_first_update(name):
    state = TRANSFORMS[name].init({})
    with pytest.raises(ValueError, match="nothing to match: there are no leaves"):
        TRANSFORMS[name].update({}, state, {})
