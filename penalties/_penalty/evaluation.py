"""A penalty's value, prox and rule for zeros on whole trees: jitted, leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import sum_scalars
from penalties._penalty import rule
from penalties._penalty.binding import bind_parts, bind_parts_joined
from penalties._penalty.fields import remade
from penalties._penalty.parts import Part
from penalties._penalty.strengths import PerLeaf, as_jax_leaf, guarded
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, leaves_with_paths

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
def _value_at(penalty: Penalty, w: Any) -> Array:
    value = penalty.value_of_leaf(w)
    if jnp.shape(value):
        raise ValueError(
            f"{type(penalty).__name__}.value_at returned an array of shape {jnp.shape(value)} for a leaf of "
            f"shape {jnp.shape(w)}: expected a scalar, such as a jnp.sum"
        )
    return value


@jax.jit
def _prox_at(penalty: Penalty, w: Any, step: Array) -> Any:
    def kept(new: Array, w: Array) -> Array:
        if new.shape != w.shape:
            raise ValueError(
                f"{type(penalty).__name__}.prox_at returned an array of shape {new.shape} for a leaf of "
                f"shape {w.shape}: expected the leaf's shape"
            )
        return new.astype(w.dtype)

    return jax.tree.map(kept, penalty.prox_at(rule.widened(w), step), w)


def part_values(penalty: Penalty, leaves: Sequence[Leaf]) -> list[tuple[Part, Array]]:
    """R of each leaf that is penalized, or of leaves that have groups in common; to be called inside jit."""
    return [(part, part.call(_value_at)) for part in bind_parts(penalty, leaves)]


@jax.jit
def _value(penalty: Penalty, tree: Any) -> Array:
    of_trees = [(atom, selections) for atom, selections in penalty.atoms() if atom.of_trees]
    if not of_trees:
        return sum_scalars([value for _, value in part_values(penalty, leaves_with_paths(tree))])
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
    new: dict[int, Array] = {}
    for part in bind_parts(penalty, leaves):
        at = steps.together(part.leaves) if part.is_joint else steps.at(part.leaves[0])
        new |= part.by_position(part.call(_prox_at, at))
    return new


@jax.jit
def _subgradient(penalty: Penalty, params: Any, grads: Any) -> dict[int, Array]:
    gradients = leaves_with_paths(grads)
    values = [leaf.value for leaf in gradients]
    new: dict[int, Array] = {}
    for part in bind_parts_joined(penalty, leaves_with_paths(params), gradients, "grads"):
        new |= part.by_position(part.call(rule.direction, part.of(values), part.of(values)))
    return new


@jax.jit
def _settle(penalty: Penalty, params: Any, moved: Any, direction: Any) -> dict[int, Array]:
    leaves, directions = leaves_with_paths(moved), leaves_with_paths(direction)
    at = join(directions, leaves, "moved", "direction")
    values, aligned = [leaf.value for leaf in leaves], [directions[i].value for i in at]
    new: dict[int, Array] = {}
    for part in bind_parts_joined(penalty, leaves_with_paths(params), leaves, "moved"):
        new |= part.by_position(part.call(rule.settled, part.of(values), part.of(aligned), None))
    return new
