"""A penalty's value, prox and rule for zeros on whole trees: jitted, leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import sum_scalars, widen
from penalties._penalty import rule
from penalties._penalty.binding import bind, bind_joined
from penalties._penalty.fields import remade
from penalties._penalty.strengths import PerLeaf, as_jax_leaf, guarded
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, at_leaf, leaves_with_paths

if TYPE_CHECKING:
    from penalties._penalty.algebra import Selected
    from penalties._penalty.base import Penalty


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


# One trace for each shape, and not one for each leaf.


@jax.jit
def _value_at(penalty: Penalty, w: Array) -> Array:
    value = penalty.value_of_leaf(w)
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


def leaf_values(penalty: Penalty, leaves: Sequence[Leaf]) -> dict[int, Array]:
    """R of each leaf that is penalized, by the leaf's position; to be called inside jit."""
    return {
        i: at_leaf(leaf, _value_at, p, leaf.value)
        for i, (p, leaf) in enumerate(zip(bind(penalty, leaves), leaves, strict=True))
        if p is not None
    }


@jax.jit
def _value(penalty: Penalty, tree: Any) -> Array:
    of_trees = [(atom, selections) for atom, selections in penalty.atoms() if atom.of_trees]
    if not of_trees:
        return sum_scalars(list(leaf_values(penalty, leaves_with_paths(tree)).values()))
    for atom, selections in of_trees:
        if selections:
            raise TypeError(
                f"{atom!r}.on({selections[0].selection()}): its function is given all params; select within "
                "it, or what it returns, as in `penalty.on(...).of(function)`"
            )
    rest = [_selected(atom, selections) for atom, selections in penalty.atoms() if not atom.of_trees]
    return sum_scalars([*(atom.value_at(tree) for atom, _ in of_trees), *(_value(p, tree) for p in rest)])


def _selected(atom: Penalty, selections: Sequence[Selected]) -> Penalty:
    for selection in selections:
        atom = remade(selection, penalty=atom)
    return atom


@jax.jit
def _prox(penalty: Penalty, tree: Any, step: Any) -> dict[int, Array]:
    leaves = leaves_with_paths(tree)
    steps = PerLeaf(guarded(step), "step", leaves)
    return {
        i: at_leaf(leaf, _prox_at, p, leaf.value, steps.at(leaf))
        for i, (p, leaf) in enumerate(zip(bind(penalty, leaves), leaves, strict=True))
        if p is not None
    }


@jax.jit
def _subgradient(penalty: Penalty, params: Any, grads: Any) -> dict[int, Array]:
    gradients = leaves_with_paths(grads)
    bound = bind_joined(penalty, leaves_with_paths(params), gradients, "grads")
    return {
        i: at_leaf(leaf, rule.direction, p, leaf.value, gradient.value, gradient.value)
        for i, ((p, leaf), gradient) in enumerate(zip(bound, gradients, strict=True))
        if p is not None
    }


@jax.jit
def _settle(penalty: Penalty, params: Any, moved: Any, direction: Any) -> dict[int, Array]:
    new, directions = leaves_with_paths(moved), leaves_with_paths(direction)
    bound = bind_joined(penalty, leaves_with_paths(params), new, "moved")
    at = join(directions, new, "moved", "direction")
    return {
        i: at_leaf(leaf, rule.settled, p, leaf.value, new[i].value, directions[at[i]].value, None)
        for i, (p, leaf) in enumerate(bound)
        if p is not None
    }
