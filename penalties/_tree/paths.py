"""One spelling of a leaf's path, however the tree is boxed.

`encoder/dense_0/kernel` is the path of a weight in Linen variables, in an NNX module or state, in
a FrozenDict, inside a `Partitioned` box, in dicts, lists, dataclasses and Equinox modules alike.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath

from penalties._tree.keras_variables import KerasKey
from penalties._tree.libraries import class_of
from penalties._tree.nnx_modules import Tied, also_known_as

T = TypeVar("T")

COLLECTION = "params"  # the collection of Linen variables that is trained


class Leaf(NamedTuple):
    """One leaf of a tree of parameters, and what a selection may ask about it."""

    path: str
    value: Any
    trainable: bool  # False: other variable types than nnx.Param, other collections than "params"
    box: Any  # the nnx.Variable that holds it, or None
    owner: str  # the type of the container that holds it: "dict", "LayerNorm", ...
    also: tuple[str, ...] = ()  # other paths by which a selection may name it


@jax.tree_util.register_static
class NotAnArray:
    """Stands for a leaf that is no array (a function, a string), in its place in the tree."""

    def __init__(self, leaf: Any):
        self.type_name = leaf.dtype.name if hasattr(leaf, "dtype") else type(leaf).__name__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NotAnArray) and self.type_name == other.type_name

    def __hash__(self) -> int:
        return hash(self.type_name)


def is_array(leaf: Any) -> bool:
    """Whether this leaf is an array that `jax.jit` takes.

    Python numbers are not: in a tree of params they are settings, as a dropout rate is in Equinox.
    """
    if isinstance(leaf, (np.ndarray, np.generic)):
        return leaf.dtype.kind in "biufc" or jnp.issubdtype(leaf.dtype, jnp.floating)
    return isinstance(leaf, jax.Array)


def is_inexact(leaf: Leaf) -> bool:
    """Whether a leaf is of a floating or complex dtype, as all that is penalized must be."""
    return not isinstance(leaf.value, NotAnArray) and jnp.issubdtype(leaf.value.dtype, jnp.inexact)


def segment(key: Any) -> str:
    """One step of a key path, as text."""
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key).strip(".[]'")


def join(key_path: KeyPath) -> str:
    """A key path as text: `("encoder", "kernel")` is "encoder/kernel"."""
    return "/".join(segment(key) for key in key_path)


def leaves_with_paths(tree: Any) -> list[Leaf]:
    """The leaves of `tree`, in the order of `jax.tree.leaves`, with `NotAnArray` marks among them.

    Of Linen variables, the paths start below "params", as they do in the params themselves.
    """
    others: Sequence[tuple[str, tuple[str, ...]]] = ()
    if isinstance(tree, Tied):
        tree, others = tree.state, tree.others
    is_linen = isinstance(tree, Mapping) and isinstance(tree.get(COLLECTION), Mapping)  # type: ignore
    leaves = []
    seen: set[int] = set()
    variable_type, param_type = class_of("flax.nnx", "Variable"), class_of("flax.nnx", "Param")
    boxes = (variable_type, class_of("flax.core.meta", "AxisMetadata"), NotAnArray)
    flattened, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: isinstance(node, boxes))
    for key_path, box in flattened:
        is_variable = isinstance(box, variable_type)
        trainable = not is_variable or isinstance(box, param_type)
        also: tuple[str, ...] = ()
        if key_path and isinstance(key_path[-1], KerasKey):
            also, trainable = key_path[-1].also, key_path[-1].trainable
        if is_linen:
            in_collection = segment(key_path[0]) == COLLECTION
            trainable = trainable and in_collection
            path = join(key_path[1:] if in_collection else key_path)
        else:
            path = join(key_path)
        if is_variable:
            trainable = trainable and id(box) not in seen  # tied weights count once
            seen.add(id(box))
        owner = _owner(tree, key_path)
        values = [((), box)] if isinstance(box, NotAnArray) else jax.tree_util.tree_flatten_with_path(box)[0]
        for inner, value in values:
            # A box is not seen in the path, but a tree within a box is: `Param({"a": ..., "b": ...})`.
            full = path if len(values) == 1 else f"{path}/{join(inner[1:])}".lstrip("/")
            also = also_known_as(full, others) if others else also
            leaves.append(Leaf(full, value, trainable, box if is_variable else None, owner, also))
    return leaves


def at_leaf(leaf: Leaf, function: Callable[..., T], *args: Any) -> T:
    """function(*args), whose errors say at which leaf they happened."""
    try:
        return function(*args)
    except Exception as error:
        error.add_note(f"This was at the leaf {leaf.path!r} of shape {jnp.shape(leaf.value)}.")
        raise


def _owner(tree: Any, key_path: KeyPath) -> str:
    node: Any = tree
    for key in key_path[:-1]:
        name = getattr(key, "name", None)
        if isinstance(name, str):
            node = getattr(node, name, None)
        else:
            try:
                node = node[getattr(key, "key", getattr(key, "idx", None))]
            except (TypeError, KeyError, IndexError):
                return ""
    return type(node).__name__
