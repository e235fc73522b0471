"""From penalties of one array to penalties of a tree: selection, binding of strengths, jit."""

from __future__ import annotations

import collections
import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._fields import strength_names
from penalties._leaf_paths import Leaf, NotAnArray, leaves_with_paths
from penalties._numbers import sum_scalars, widen
from penalties._selection import nothing_selected
from penalties._strengths import PerLeaf, as_jax_leaf, guarded
from penalties._trees import Opened

if TYPE_CHECKING:
    from penalties._penalty import Penalty, Selected


def value(penalty: Penalty, params: Any) -> Array:
    """R(params), jitted."""
    return _value(penalty, Opened(params).tree)


def prox(penalty: Penalty, params: Any, step: Any) -> Any:
    """prox_{step·R}(params), jitted."""
    opened = Opened(params)
    return opened.with_leaves(_prox(penalty, opened.tree, Opened(jax.tree.map(as_jax_leaf, step)).tree))


def subgradient(penalty: Penalty, params: Any, grads: Any) -> Any:
    """The element of grads + ∂R(params) of least norm, jitted."""
    opened = Opened(grads)
    return opened.with_leaves(_subgradient(penalty, Opened(params).tree, opened.tree))


def settle(penalty: Penalty, params: Any, moved: Any, direction: Any) -> Any:
    """`moved` with exact zeros where the way from params crossed a kink, jitted."""
    opened = Opened(moved)
    return opened.with_leaves(_settle(penalty, Opened(params).tree, opened.tree, Opened(direction).tree))


def bind(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Penalty | None]:
    """For each leaf its penalty, strengths filled in for that leaf; None where there is none."""
    bound: list[list[Penalty]] = [[] for _ in leaves]
    for atom, selections in penalty.atoms():
        chosen = positions(leaves, selections)
        at = _binder(atom, leaves)
        for i in chosen:
            bound[i].append(at(leaves[i]))
    return [functools.reduce(operator.add, atoms) if atoms else None for atoms in bound]


def positions(leaves: Sequence[Leaf], selections: Sequence[Selected]) -> list[int]:
    """Where the leaves stand that a penalty with these selections around it counts."""
    candidates = [i for i, leaf in enumerate(leaves) if leaf.trainable]
    if not selections:
        chosen = [i for i in candidates if is_inexact(leaves[i])]
        if leaves and not chosen:
            raise TypeError(
                "there is nothing to penalize: no leaf is a trained array (an nnx.Param; in Linen variables, "
                'one of "params") of a floating or complex dtype: '
                + ", ".join(f"{leaf.path!r} is {_kind(leaf)}" for leaf in leaves[:20])
            )
        return chosen
    chosen = candidates
    asked = [leaves[i] for i in candidates]
    for selection in selections:
        kept = dict(zip(candidates, selection.where.choose(asked), strict=True))
        if selection.exclude is not None:
            out = dict(zip(candidates, selection.exclude.choose(asked), strict=True))
            kept = {i: kept[i] and not out[i] for i in candidates}
        chosen = [i for i in chosen if kept[i]]
    if not chosen:
        raise nothing_selected("".join(f".on({s.selection()})" for s in selections), asked)
    for i in chosen:
        if not is_inexact(leaves[i]):
            raise TypeError(
                f"the selected leaf {leaves[i].path!r} is {_kind(leaves[i])}: only floating and complex "
                "arrays can be penalized; leave it out with `.on(..., exclude=...)`"
            )
    return chosen


def is_inexact(leaf: Leaf) -> bool:
    """Whether a leaf is of a floating or complex dtype, as all that is penalized must be."""
    return not isinstance(leaf.value, NotAnArray) and jnp.issubdtype(leaf.value.dtype, jnp.inexact)


def _kind(leaf: Leaf) -> str:
    if isinstance(leaf.value, NotAnArray):
        return f"of type {leaf.value.type_name}"
    return f"of dtype {leaf.value.dtype}" + ("" if leaf.trainable else ", not trained")


def _binder(atom: Penalty, leaves: Sequence[Leaf]):
    names = strength_names(atom)
    # Guarded once and not leaf by leaf: a thousand leaves are traced faster.
    strengths = [
        PerLeaf(guarded(getattr(atom, name)), f"{type(atom).__name__}.{name}", leaves) for name in names
    ]
    # Rebuilt as a pytree: the strengths are checked already, and are traced.
    _, treedef = jax.tree.flatten(dataclasses.replace(atom, **dict.fromkeys(names, 0.0)))

    def at(leaf: Leaf) -> Penalty:
        return jax.tree.unflatten(treedef, [strength.at(leaf) for strength in strengths])

    return at


# One trace for each shape, and not one for each leaf.


@jax.jit
def _value_at(penalty: Penalty, w: Array) -> Array:
    value = penalty.value_at(widen(w))
    if jnp.shape(value):
        raise ValueError(
            f"{type(penalty).__name__}.value_at returned an array of shape {jnp.shape(value)} for a leaf of "
            f"shape {w.shape}: expected a scalar, such as a jnp.sum"
        )
    return value


@jax.jit
def _prox_at(penalty: Penalty, w: Array, step: Array) -> Array:
    new = penalty.prox_at(widen(w), step)
    if new.shape != w.shape:
        raise ValueError(
            f"{type(penalty).__name__}.prox_at returned an array of shape {new.shape} for a leaf of shape "
            f"{w.shape}: expected the leaf's shape"
        )
    return new.astype(w.dtype)


@jax.jit
def _subgradient_at(penalty: Any, w: Array, gradient: Array) -> Array:
    wide = widen(gradient)
    return penalty.subgradient_at(widen(w), wide, wide).astype(gradient.dtype)


@jax.jit
def _settle_at(penalty: Any, w: Array, moved: Array, direction: Array) -> Array:
    return penalty.settle_at(widen(w), widen(moved), widen(direction), None).astype(moved.dtype)


def leaf_values(penalty: Penalty, leaves: Sequence[Leaf]) -> dict[int, Array]:
    """R of each leaf that is penalized, by the leaf's position; to be called inside jit."""
    return {
        i: _value_at(p, leaf.value)
        for i, (p, leaf) in enumerate(zip(bind(penalty, leaves), leaves, strict=True))
        if p is not None
    }


@jax.jit
def _value(penalty: Penalty, tree: Any) -> Array:
    return sum_scalars(list(leaf_values(penalty, leaves_with_paths(tree)).values()))


@jax.jit
def _prox(penalty: Penalty, tree: Any, step: Any) -> dict[int, Array]:
    leaves = leaves_with_paths(tree)
    steps = PerLeaf(guarded(step), "step", leaves)
    return {
        i: _prox_at(p, leaf.value, steps.at(leaf))
        for i, (p, leaf) in enumerate(zip(bind(penalty, leaves), leaves, strict=True))
        if p is not None
    }


@jax.jit
def _subgradient(penalty: Penalty, params: Any, grads: Any) -> dict[int, Array]:
    return {
        i: _subgradient_at(p, leaf.value, gradient.value)
        for i, (p, leaf, gradient) in enumerate(bind_joined(penalty, params, grads, "grads"))
        if p is not None
    }


@jax.jit
def _settle(penalty: Penalty, params: Any, moved: Any, direction: Any) -> dict[int, Array]:
    directions = {new.path: leaf.value for leaf, new in join_leaves(direction, moved, "moved", "direction")}
    return {
        i: _settle_at(p, leaf.value, new.value, directions[leaf.path])
        for i, (p, leaf, new) in enumerate(bind_joined(penalty, params, moved, "moved"))
        if p is not None
    }


def check(penalty: Penalty, params: Any) -> None:
    """Raises what calling the penalty on these params would raise."""
    bind(penalty, leaves_with_paths(Opened(params).tree))


def bind_joined(
    penalty: Penalty, params: Any, other: Any, name: str
) -> list[tuple[Penalty | None, Leaf, Leaf]]:
    """(penalty of the leaf, leaf of params, leaf of other) for each leaf of `other`.

    Bound on all leaves of params: a selection is no error where only the gradients lack its leaves.
    """
    joined = join_leaves(params, other, name)
    leaves = leaves_with_paths(params)
    bound = {leaf.path: p for leaf, p in zip(leaves, bind(penalty, leaves), strict=True)}
    return [(bound[leaf.path], leaf, its) for leaf, its in joined]


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
