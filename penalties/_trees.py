"""Trees as jit takes them, and back again as the user gave them."""

import functools
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array

from penalties._leaf_paths import NotAnArray, is_jittable

_ARRAY = type(np.zeros(())), type(np.float32(0)), float


class Opened:
    """A tree of parameters taken apart, so that some of its leaves can be replaced.

    NNX modules are opened into their state, in which tied weights stand once; leaves that jit does
    not take are marked by `NotAnArray`.
    """

    def __init__(self, params: Any):
        self._graph = None
        if isinstance(params, nnx.Module) or _holds_module(jax.tree.structure(params)):
            self._graph, params = nnx.split(params)
        self._leaves, self._treedef = jax.tree.flatten(params)
        if all(map(is_jittable, self._leaves)):
            self.tree = params
        else:
            marked = [x if is_jittable(x) else NotAnArray(x) for x in self._leaves]
            self.tree = self._treedef.unflatten(marked)

    def with_leaves(self, new: dict[int, Array]) -> Any:
        """The tree as it was, but for the leaves at these positions: all others are the same objects."""
        tree = self._treedef.unflatten([new.get(i, x) for i, x in enumerate(self._leaves)])
        return tree if self._graph is None else nnx.merge(self._graph, tree)


@functools.lru_cache(maxsize=1024)
def _holds_module(treedef: Any) -> bool:
    node = treedef.node_data()
    if node is None:
        return False
    return issubclass(node[0], nnx.Module) or any(map(_holds_module, treedef.children()))
