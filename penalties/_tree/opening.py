"""Trees as jit takes them, and back again as the user gave them."""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from penalties._tree.paths import NotAnArray, is_array


class Opened:
    """A tree of parameters taken apart, so that some of its leaves can be replaced.

    NNX modules are opened into their state, in which tied weights stand once, Keras models into a
    dict of their trainable weights by Keras path; leaves that are no arrays are marked by
    `NotAnArray`.
    """

    def __init__(self, params: Any):
        self._graph = None
        if _is_keras(params):
            params = _keras_weights(params)
        # A module may hold itself: asked before it is flattened.
        elif isinstance(params, nnx.Module):
            self._graph, params = nnx.split(params)
        leaves, treedef = jax.tree.flatten(params)
        if _holds(treedef, nnx.Module) or (_holds(treedef, nnx.Variable) and _ties(params)):
            self._graph, params = nnx.split(params)
            leaves, treedef = jax.tree.flatten(params)
        self._leaves, self._treedef = leaves, treedef
        all_arrays = all(isinstance(leaf, jax.Array) for leaf in leaves)
        self.tree = params if all_arrays else treedef.unflatten(map(_as_array, leaves))

    def with_leaves(self, new: dict[int, Array]) -> Any:
        """The tree as it was, but for the leaves at these positions: all others are the same objects."""
        tree = self._treedef.unflatten([new.get(i, x) for i, x in enumerate(self._leaves)])
        return tree if self._graph is None else nnx.merge(self._graph, tree)


def _is_keras(params: Any) -> bool:
    # Not imported here: where there is a Keras model, there is Keras already. Keras 2 has no keras.Layer.
    return isinstance(params, getattr(sys.modules.get("keras"), "Layer", ()))


def _keras_weights(model: Any) -> dict[str, Any]:
    weights = {}
    for variable in model.trainable_variables:
        path = variable.path
        while path in weights:  # Keras lets two layers have one name
            path += "_"
        # Backends other than JAX have arrays of their own.
        weights[path] = variable.value if isinstance(variable.value, jax.Array) else variable.numpy()
    return weights


def _as_array(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return leaf
    return jnp.asarray(leaf) if is_array(leaf) else NotAnArray(leaf)


def _ties(params: Any) -> bool:
    boxes = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, nnx.Variable))
    ids = [id(box) for box in boxes if isinstance(box, nnx.Variable)]
    return len(set(ids)) < len(ids)


@functools.lru_cache(maxsize=1024)
def _holds(treedef: Any, kind: type) -> bool:
    node = treedef.node_data()
    if node is None:
        return False
    return issubclass(node[0], kind) or any(_holds(child, kind) for child in treedef.children())
