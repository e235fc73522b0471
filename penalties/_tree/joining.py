"""Two trees of one structure, joined leaf by leaf."""

import collections
from typing import Any

from penalties._tree.paths import Leaf, leaves_with_paths


def join_leaves(params: Any, other: Any, name: str, of: str = "params") -> list[tuple[Leaf, Leaf]]:
    """(leaf of params, leaf of other) for each leaf of `other`, joined by path.

    By path and not by position: gradients may lack leaves (None, `optax.MaskedNode`) or boxes that
    the params have.
    """
    leaves = leaves_with_paths(params)
    lookup = {leaf.path: leaf for leaf in leaves}
    if len(lookup) < len(leaves):
        seen = collections.Counter(leaf.path for leaf in leaves)
        path, count = seen.most_common(1)[0]
        raise ValueError(
            f"{of} has {count} leaves with the path {path!r}, which cannot be told apart: rename one, such "
            f'as the key "a/b" beside {{"a": {{"b": ...}}}}'
        )
    joined = []
    for leaf in leaves_with_paths(other):
        if leaf.path not in lookup:
            raise ValueError(
                f"{name} has a leaf {leaf.path!r} that {of} has not; {of} has {list(lookup)[:20]}. "
                f"Pass {of} and {name} of the same structure."
            )
        mine = lookup[leaf.path]
        # What is no array, such as the float0 gradient of integers, has no shape and is passed over.
        here, there = getattr(leaf.value, "shape", None), getattr(mine.value, "shape", None)
        if here != there and here is not None:
            raise ValueError(
                f"the leaf {leaf.path!r} has shape {there} in {of} and {here} in {name}: pass trees of "
                "the same structure"
            )
        joined.append((mine, leaf))
    return joined
