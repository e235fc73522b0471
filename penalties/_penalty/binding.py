"""From a penalty of trees to a penalty of one array for each leaf: selection, and strengths filled in."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from penalties._penalty.fields import Kind, names, number_names, range_of, reach_of, remade
from penalties._penalty.partitions import Partition
from penalties._penalty.parts import Part
from penalties._penalty.strengths import PerLeaf, guarded
from penalties._tree.joining import join
from penalties._tree.paths import Leaf, NotAnArray, is_inexact
from penalties._tree.selection import nothing_selected

if TYPE_CHECKING:
    from penalties._penalty.algebra import Selected
    from penalties._penalty.base import Penalty
    from penalties._penalty.spanning import SpanningPenalty

P = TypeVar("P")
Atom = tuple["Penalty", Sequence["Selected"]]  # one term of a sum, with the selections around it


def bind(
    penalty: Penalty, leaves: Sequence[Leaf], within: Sequence[int] | None = None
) -> list[Penalty | None]:
    """For each leaf its penalty, strengths filled in for that leaf; None where there is none.

    Only leaves at the positions `within` are asked for, if it is given.
    """
    for atom, _ in penalty.atoms():
        if atom.spans_leaves:
            raise TypeError(
                f"{atom!r} is of several leaves together, and this is worked out leaf by leaf: call the "
                "penalty or its prox, or train with `penalized`, `proximal` or `add_penalty`"
            )
    return _bind(penalty.atoms(), leaves, within)


def _bind(
    atoms: Iterable[Atom], leaves: Sequence[Leaf], within: Sequence[int] | None
) -> list[Penalty | None]:
    bound: list[list[Penalty]] = [[] for _ in leaves]
    asked = None if within is None else set(within)
    for atom, selections in atoms:
        if atom.of_trees:
            raise TypeError(
                f"{atom!r} is a function of all params at once, and has a value only: {atom.way_out}"
            )
        chosen = positions(leaves, selections)
        chosen = chosen if asked is None else [i for i in chosen if i in asked]
        bind_to = _binder(atom, leaves)
        inside = {name: bind(getattr(atom, name), leaves, chosen) for name in names(atom, Kind.NESTED)}
        for i in chosen:
            parts = {name: of_leaves[i] for name, of_leaves in inside.items()}
            if None not in parts.values():
                bound[i].append(bind_to(leaves[i], parts))
    return [functools.reduce(operator.add, atoms) if atoms else None for atoms in bound]


def bind_parts(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Part]:
    """The penalty taken apart into what is worked on by itself, strengths filled in for it."""
    atoms = list(penalty.atoms())
    bound = _bind((atom for atom in atoms if not atom[0].spans_leaves), leaves, None)
    together = [block for atom in atoms if atom[0].spans_leaves for block in _blocks(atom, leaves)]
    taken: set[int] = set()
    for i in (i for _, at in together for i in at):
        if i in taken:
            raise TypeError(
                f"two penalties of several leaves together have the leaf {leaves[i].path!r} in common: give "
                "each leaves of its own, or one `Coupled` all classes of units"
            )
        taken.add(i)
    parts = [Part(p, (leaves[i],), (i,), False) for i, p in enumerate(bound) if p and i not in taken]
    for block, at in together:
        single = tuple(bound[i] for i in at)
        whole = block if not any(single) else block.beside(single)
        parts.append(Part(whole, tuple(leaves[i] for i in at), at, True))
    return parts


def penalized_leaves(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Leaf]:
    """The leaves that the penalty counts, in their order."""
    counted = sorted(i for part in bind_parts(penalty, leaves) for i in part.at)
    return [leaves[i] for i in counted]


def bind_parts_joined(
    penalty: Penalty, params: Sequence[Leaf], other: Sequence[Leaf], name: str
) -> list[Part]:
    """`bind_parts` on params, with the positions of leaves among those of `other`.

    Bound on all leaves of params: a selection is no error where only the gradients lack its leaves.
    """
    place = {i: j for j, i in enumerate(join(params, other, name))}
    parts = []
    for part in bind_parts(penalty, params):
        at = tuple(place[i] for i in part.at if i in place)
        if part.is_joint and len(at) < len(part.at):
            lacking = [leaf.path for i, leaf in zip(part.at, part.leaves, strict=True) if i not in place]
            raise ValueError(
                f"{name} lacks the leaves {lacking}, which have groups in common with others: a unit becomes "
                "zero with all of its weights; leave them out of the penalty with `.on(exclude=...)`"
            )
        if at:
            parts.append(part._replace(at=at))
    return parts


def _blocks(atom: Atom, leaves: Sequence[Leaf]) -> Iterator[tuple[SpanningPenalty, tuple[int, ...]]]:
    penalty, chosen = atom[0], positions_of(atom, leaves)
    for block, at in cast("SpanningPenalty", penalty).blocks(leaves, chosen):
        yield _with_one_number(block, [leaves[i] for i in at]), at


def _with_one_number(penalty: P, leaves: Sequence[Leaf]) -> P:
    """The penalty with the numbers that are for all of these leaves together."""
    values: dict[str, Any] = {
        name: _with_one_number(getattr(penalty, name), leaves) for name in names(penalty, Kind.NESTED)
    }
    for name in number_names(penalty):
        value = guarded(getattr(penalty, name), range_of(penalty, name))
        values[name] = PerLeaf(value, f"{type(penalty).__name__}.{name}", leaves).together(leaves)
    return remade(penalty, **values)


def positions_of(atom: Atom, leaves: Sequence[Leaf]) -> list[int]:
    """Where the leaves stand that this penalty is of, with the selections around it."""
    penalty, selections = atom
    chosen = positions(leaves, selections)
    if not penalty.spans_leaves:
        return chosen
    paths = cast("SpanningPenalty", penalty).paths
    return chosen if paths is None else [i for i in chosen if leaves[i].path in set(paths)]


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
                + (
                    "; Python numbers are settings: make weights arrays"
                    if any(map(_is_number, leaves))
                    else ""
                )
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


def _is_number(leaf: Leaf) -> bool:
    return isinstance(leaf.value, NotAnArray) and leaf.value.type_name in ("float", "complex")


def _kind(leaf: Leaf) -> str:
    if isinstance(leaf.value, NotAnArray):
        return f"of type {leaf.value.type_name}"
    return f"of dtype {leaf.value.dtype}" + ("" if leaf.trainable else ", not trained")


def _binder(penalty: Penalty, leaves: Sequence[Leaf]) -> Callable[[Leaf, dict[str, Any]], Penalty]:
    """From a leaf, and what is nested there, to the penalty with the numbers that are for it."""
    bound: dict[str, Any] = {}
    for name in number_names(penalty):
        # Guarded once and not leaf by leaf: a thousand leaves are traced faster.
        value = guarded(getattr(penalty, name), range_of(penalty, name))
        per_leaf = PerLeaf(value, f"{penalty.name_in_config}.{name}", leaves)
        bound[name] = getattr(per_leaf, reach_of(penalty, name))
    for name in names(penalty, Kind.STATIC):
        if isinstance(partition := getattr(penalty, name), Partition):
            bound[name] = partition.reaching(leaves)

    def bind_to(leaf: Leaf, nested: dict[str, Any]) -> Penalty:
        return remade(penalty, **{name: part(leaf) for name, part in bound.items()}, **nested)

    return bind_to


def parts_at_init(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Part]:
    """`bind_parts`, and none where there are no leaves: raises what a call on these params would raise.

    `optax.tree.map_params` asks `init` for the state of a placeholder without leaves, to see where in a state
    trees like params stand. Of params that have none, a selection is an error in the first update.
    """
    return bind_parts(penalty, leaves) if leaves else []
