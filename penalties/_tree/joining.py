"""Two trees of one structure, joined leaf by leaf."""

import collections
from collections.abc import Sequence

from penalties._tree.paths import Leaf


def join(params: Sequence[Leaf], other: Sequence[Leaf], name: str, of: str = "params") -> list[int]:
    """For each leaf of `other`, where among those of params its namesake stands.

    By path and not by position: gradients may lack leaves (None, `optax.MaskedNode`) or boxes that
    the params have.
    """
    lookup = {leaf.path: i for i, leaf in enumerate(params)}
    if len(lookup) < len(params):
        seen = collections.Counter(leaf.path for leaf in params)
        path, count = seen.most_common(1)[0]
        raise ValueError(
            f"{of} has {count} leaves with the path {path!r}, which cannot be told apart: rename one, such "
            f'as the key "a/b" beside {{"a": {{"b": ...}}}}'
        )
    joined = []
    for leaf in other:
        if leaf.path not in lookup:
            raise ValueError(
                f"{name} has a leaf {leaf.path!r} that {of} has not; {of} has {list(lookup)[:20]}. "
                f"Pass {of} and {name} of the same structure."
            )
        at = lookup[leaf.path]
        # What is no array, such as the float0 gradient of integers, has no shape and is passed over.
        here, there = getattr(leaf.value, "shape", None), getattr(params[at].value, "shape", None)
        if here != there and here is not None:
            raise ValueError(
                f"the leaf {leaf.path!r} has shape {there} in {of} and {here} in {name}: pass trees of "
                "the same structure"
            )
        joined.append(at)
    return joined
