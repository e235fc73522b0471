"""Trees as jit takes them, and back again as the user gave them."""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from penalties._tree.keras_variables import is_variable, open_keras, value_of
from penalties._tree.paths import NotAnArray, is_array


class Opened:
    """A tree of parameters taken apart, so that some of its leaves can be replaced.

    NNX modules are opened into their state, in which tied weights stand once, Keras models, lists of
    Keras variables and single ones into their arrays by Keras path; leaves that are no arrays are
    marked by `NotAnArray`. Of a `jax.ShapeDtypeStruct` the shape and dtype can be asked for, as `init` does.

    Raises:
        TypeError: the tree holds the state of an optimizer, whose moments are no weights.
    """

    def __init__(self, params: Any):
        self._graph = None
        params, self._close = open_keras(params)
        if isinstance(params, nnx.Optimizer) and not isinstance(params, nnx.ModelAndOptimizer):
            raise TypeError(
                "expected params, and got an nnx.Optimizer, which holds the state of an optimizer and no "
                "weights: pass the model, or `nnx.state(model, nnx.Param)`"
            )
        # A module may hold itself: asked before it is flattened.
        if isinstance(params, nnx.Module):
            self._graph, params = nnx.split(params)
        leaves, treedef = jax.tree.flatten(params)
        kinds = _kinds(treedef)
        _refuse_states(kinds)
        if _any(kinds, nnx.Module) or (_any(kinds, nnx.Variable) and _ties(params)):
            self._graph, params = nnx.split(params)
            leaves, treedef = jax.tree.flatten(params)
        self._leaves, self._treedef = leaves, treedef
        all_arrays = all(isinstance(leaf, jax.Array) for leaf in leaves)
        self.tree = params if all_arrays else treedef.unflatten(map(_as_array, leaves))

    def with_leaves(self, new: dict[int, Array]) -> Any:
        """The tree as it was, but for the leaves at these positions: all others are the same objects."""
        tree = self._treedef.unflatten([new.get(i, x) for i, x in enumerate(self._leaves)])
        return self._close(tree if self._graph is None else nnx.merge(self._graph, tree))


def _as_array(leaf: Any) -> Any:
    if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return leaf
    if is_variable(leaf):
        leaf = value_of(leaf)
    return jnp.asarray(leaf) if is_array(leaf) else NotAnArray(leaf)


def _ties(params: Any) -> bool:
    boxes = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, nnx.Variable))
    ids = [id(box) for box in boxes if isinstance(box, nnx.Variable)]
    return len(set(ids)) < len(ids)


def _any(kinds: frozenset[type], kind: Any) -> bool:
    return any(issubclass(each, kind) for each in kinds)


@functools.lru_cache(maxsize=1024)
def _kinds(treedef: Any) -> frozenset[type]:
    """The types of all containers of a tree."""
    node = treedef.node_data()
    if node is None:
        return frozenset()
    return frozenset({node[0]}).union(*map(_kinds, treedef.children()))


def _refuse_states(kinds: frozenset[type]) -> None:
    # Not imported here: where there is a TrainState, there is Flax's training already.
    train_state = getattr(sys.modules.get("flax.training.train_state"), "TrainState", ())
    if _any(kinds, train_state):
        raise TypeError(
            "expected params, and got a Flax TrainState, which holds the moments of the optimizer as well: "
            "pass `state.params`"
        )
    if _any(kinds, nnx.OptState):
        return  # an NNX module around an optimizer: its state is told from weights by its variables
    states = [kind for kind in kinds if kind.__module__.startswith("optax.") and "State" in kind.__name__]
    if states:
        names = " and ".join(sorted(kind.__name__ for kind in states))
        raise TypeError(
            f"expected params, and got a tree that holds the state of an optimizer ({names}), whose moments "
            "are no weights: pass the params alone"
        )
