"""Flax NNX modules taken apart and put together, and tied weights. Flax is imported where there is one."""

from typing import Any

import jax

from penalties._tree.libraries import class_of


def is_module(x: Any) -> bool:
    """Whether x is an NNX module."""
    return isinstance(x, class_of("flax.nnx", "Module"))


def split(module: Any) -> tuple[Any, Any]:
    """The graph of a module, or of a tree of modules, and its state, in which tied weights stand once."""
    from flax import nnx

    return nnx.split(module)


def merge(graph: Any, state: Any) -> Any:
    """A new module of this graph, with this state."""
    from flax import nnx

    return nnx.merge(graph, state)


@jax.tree_util.register_pytree_with_keys_class
class Tied:
    """The state of a module in which weights are tied, and the other paths that lead to each of them."""

    def __init__(self, state: Any, others: tuple[tuple[str, tuple[str, ...]], ...]):
        self.state, self.others = state, others

    def tree_flatten_with_keys(self) -> Any:
        return ((jax.tree_util.GetAttrKey("state"), self.state),), self.others

    @classmethod
    def tree_unflatten(cls, others: Any, children: Any) -> "Tied":
        (state,) = children
        return cls(state, others)


def with_ties(state: Any, module: Any) -> Any:
    """The state of a module; `Tied` where a weight of it is known by several paths."""
    from flax import nnx

    others = [
        ("/".join(map(str, first)), tuple("/".join(map(str, path)) for path in rest))
        for first, *rest in nnx.find_duplicates(module)
    ]
    return Tied(state, tuple(others)) if others else state


def also_known_as(path: str, others: Any) -> tuple[str, ...]:
    """The other paths to the weight at this one: it may be tied itself, or a module it is in."""
    return tuple(
        other + path[len(first) :]
        for first, rest in others
        for other in rest
        if f"{path}/".startswith(f"{first}/")
    )
