"""Trees as jit takes them, and back again as the user gave them."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._tree.keras_variables import is_variable, open_keras, value_of
from penalties._tree.libraries import class_of
from penalties._tree.nnx_modules import is_module, merge, split, with_ties
from penalties._tree.paths import Leaf, NotAnArray, is_array, leaves_with_paths


class Opened:
    """A tree of parameters taken apart, so that some of its leaves can be replaced.

    NNX modules are opened into their state, in which tied weights stand once, Keras models, lists of
    Keras variables and single ones into their arrays by Keras path; leaves that are no arrays are
    marked by `NotAnArray`. Of a `jax.ShapeDtypeStruct` the shape and dtype can be asked for, as `init` does.

    Attributes:
        tree: of arrays and marks, as jit takes it.
        treedef: its structure.
        values: the arrays and marks, in the order of `leaves`.

    Raises:
        TypeError: the tree holds the state of an optimizer, whose moments are no weights.
    """

    def __init__(self, params: Any):
        self._graph = None
        params, self._close = open_keras(params)
        is_optimizer = isinstance(params, class_of("flax.nnx", "Optimizer"))
        if is_optimizer and not isinstance(params, class_of("flax.nnx", "ModelAndOptimizer")):
            raise TypeError(
                "expected params, and got an nnx.Optimizer, which holds the state of an optimizer and no "
                "weights: pass the model, or `nnx.state(model, nnx.Param)`"
            )
        module = None
        # A module may hold itself: asked before it is flattened.
        if is_module(params):
            module, self._graph, params = params, *split(params)
        leaves, treedef = jax.tree.flatten(params)
        kinds = _kinds(treedef)
        _refuse_states(kinds)
        if module is None and _holds_graph(kinds, params):
            module, self._graph, params = params, *split(params)
            leaves, treedef = jax.tree.flatten(params)
        self._leaves, self.treedef = leaves, treedef
        self.values = list(map(_as_array, leaves))
        all_arrays = all(map(operator.is_, self.values, leaves))
        tree = params if all_arrays else treedef.unflatten(self.values)
        self.tree = tree if module is None else with_ties(tree, module)

    @functools.cached_property
    def leaves(self) -> list[Leaf]:
        """The leaves with their paths, in the order of `jax.tree.leaves`."""
        return leaves_with_paths(self.tree)

    def with_leaves(self, new: dict[int, Array]) -> Any:
        """The tree as it was, but for the leaves at these positions: all others are the same objects."""
        tree = self.treedef.unflatten([new.get(i, x) for i, x in enumerate(self._leaves)])
        return self._close(tree if self._graph is None else merge(self._graph, tree))


def _as_array(leaf: Any) -> Any:
    if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return leaf
    if is_variable(leaf):
        leaf = value_of(leaf)
    return jnp.asarray(leaf) if is_array(leaf) else NotAnArray(leaf)


def _holds_graph(kinds: frozenset[type], params: Any) -> bool:
    """Whether a tree holds NNX modules, or one variable in several places."""
    if _any(kinds, class_of("flax.nnx", "Module")):
        return True
    variable = class_of("flax.nnx", "Variable")
    if not _any(kinds, variable):
        return False
    boxes = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, variable))
    ids = [id(box) for box in boxes if isinstance(box, variable)]
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
    if _any(kinds, class_of("flax.training.train_state", "TrainState")):
        raise TypeError(
            "expected params, and got a Flax TrainState, which holds the moments of the optimizer as well: "
            "pass `state.params`"
        )
    if _any(kinds, class_of("flax.nnx", "OptState")):
        return  # an NNX module around an optimizer: its state is told from weights by its variables
    states = [kind for kind in kinds if kind.__module__.startswith("optax.") and "State" in kind.__name__]
    if states:
        names = " and ".join(sorted(kind.__name__ for kind in states))
        raise TypeError(
            f"expected params, and got a tree that holds the state of an optimizer ({names}), whose moments "
            "are no weights: pass the params alone"
        )
