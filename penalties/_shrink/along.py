"""Trees that go along with params: optimizer states, averages, masks."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from penalties._shrink.coupled import Coupled
from penalties._shrink.cut import take
from penalties._tree.nnx_modules import is_module, merge, split
from penalties._tree.paths import is_array, leaves_with_paths


def cut_along(
    tree: Any, paths: Sequence[str], shapes: Sequence[tuple[int, ...]], masks: list[list[np.ndarray]]
) -> Any:
    """The tree with those leaves cut whose path ends with that of a leaf of the params, and `Coupled`."""
    if is_module(tree):
        graph, state = split(tree)
        return merge(graph, cut_along(state, paths, shapes, masks))
    kept = dict(zip(paths, masks, strict=True)).__getitem__
    tree = jax.tree.map(lambda x: x.kept(kept) if _is_coupled(x) else x, tree, is_leaf=_is_coupled)
    found = any(map(_is_coupled, jax.tree.leaves(tree, is_leaf=_is_coupled)))
    leaves, treedef = jax.tree.flatten(tree)
    for i, leaf in enumerate(leaves_with_paths(tree)):
        n = _longest(leaf.path, paths)
        if n is None or not is_array(leaf.value):
            continue
        found = True
        shape = leaf.value.shape
        if math.prod(shape) == 1:  # a counter, a factor
            continue
        if len(shape) != len(shapes[n]) or any(
            a not in (1, b) for a, b in zip(shape, shapes[n], strict=True)
        ):
            raise ValueError(
                f"the leaf {leaf.path!r} has shape {shape}, and {paths[n]!r} of the large params "
                f"{shapes[n]}: which part of it belongs to which unit is not known; make this state anew "
                "from `shrunk.params`"
            )
        everything = [np.ones(1, bool) if a == 1 else mask for a, mask in zip(shape, masks[n], strict=True)]
        leaves[i] = take(leaf.value, everything)
    if not found:
        raise ValueError(
            "no leaf of this tree has a path that ends with one of the params' "
            f"({', '.join(paths[:5])}, ...): pass an optimizer's state, an average or a mask of the large "
            "params"
        )
    return treedef.unflatten(leaves)


def _is_coupled(node: Any) -> bool:
    return isinstance(node, Coupled)


def _longest(path: str, paths: Sequence[str]) -> int | None:
    """The leaf of the params with the longest path that this path ends with."""
    fits = [n for n, own in enumerate(paths) if path == own or path.endswith("/" + own) or not own]
    return max(fits, key=lambda n: len(paths[n]), default=None)
