"""From a penalty of trees to a penalty of one array for each leaf: selection, and strengths filled in."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from penalties._penalty.fields import Kind, names, number_names, range_of, reach_of, remade
from penalties._penalty.partitions import Partition
from penalties._penalty.strengths import PerLeaf, guarded
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, NotAnArray, is_inexact
from penalties._tree.selection import nothing_selected

if TYPE_CHECKING:
    from penalties._penalty.algebra import Selected
    from penalties._penalty.base import Penalty


def bind(
    penalty: Penalty, leaves: Sequence[Leaf], within: Sequence[int] | None = None
) -> list[Penalty | None]:
    """For each leaf its penalty, strengths filled in for that leaf; None where there is none.

    Only leaves at the positions `within` are asked for, if it is given.
    """
    bound: list[list[Penalty]] = [[] for _ in leaves]
    for atom, selections in penalty.atoms():
        if atom.of_trees:
            raise TypeError(
                f"{atom!r} is a function of all params at once, and has a value only: {atom.way_out}"
            )
        chosen = positions(leaves, selections)
        chosen = chosen if within is None else [i for i in chosen if i in within]
        at = _binder(atom, leaves)
        inside = {name: bind(getattr(atom, name), leaves, chosen) for name in names(atom, Kind.NESTED)}
        for i in chosen:
            parts = {name: of_leaves[i] for name, of_leaves in inside.items()}
            if None not in parts.values():
                bound[i].append(remade(at(leaves[i]), **parts))
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


def _kind(leaf: Leaf) -> str:
    if isinstance(leaf.value, NotAnArray):
        return f"of type {leaf.value.type_name}"
    return f"of dtype {leaf.value.dtype}" + ("" if leaf.trainable else ", not trained")


def _binder(penalty: Penalty, leaves: Sequence[Leaf]) -> Callable[[Leaf], Penalty]:
    """From a leaf to the penalty with the numbers that are for it."""
    bound: dict[str, Any] = {}
    for name in number_names(penalty):
        # Guarded once and not leaf by leaf: a thousand leaves are traced faster.
        value = guarded(getattr(penalty, name), range_of(penalty, name))
        per_leaf = PerLeaf(value, f"{penalty.name_in_config}.{name}", leaves)
        bound[name] = getattr(per_leaf, reach_of(penalty, name))
    for name in names(penalty, Kind.STATIC):
        if isinstance(partition := getattr(penalty, name), Partition):
            bound[name] = partition.reaching(leaves)

    def at(leaf: Leaf) -> Penalty:
        return remade(penalty, **{name: part(leaf) for name, part in bound.items()})

    return at


def check(penalty: Penalty, params: Any) -> None:
    """Raises what calling the penalty on these params would raise."""
    bind(penalty, Opened(params).leaves)


def bind_joined(
    penalty: Penalty, params: Sequence[Leaf], other: Sequence[Leaf], name: str
) -> list[tuple[Penalty | None, Leaf]]:
    """For each leaf of `other` its penalty, and the leaf of params.

    Bound on all leaves of params: a selection is no error where only the gradients lack its leaves.
    """
    joined, bound = join(params, other, name), bind(penalty, params)
    return [(bound[i], params[i]) for i in joined]
