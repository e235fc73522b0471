"""Where the weights lie that make the units of a network, and sums over each unit's."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._numerics import safe_root, squared
from penalties._shrink.couplings import CoupledUnits


class Makers(NamedTuple):
    """One leaf that makes units, by positions on one of its axes.

    Attributes:
        path: of the leaf.
        axis: its number.
        length: of the axis.
        columns: where the units are on the axis, once or several times each. Each column has one position for
            each unit, in short (first, step) where they are evenly spaced.
    """

    path: str
    axis: int
    length: int
    columns: tuple[tuple[int, ...], ...]


class UnitGroups(NamedTuple):
    """A class of units, and the leaves that make them: plain, hashable, and part of a config."""

    name: str
    units: int
    makers: tuple[Makers, ...]


def groups_of(found: CoupledUnits) -> UnitGroups:
    """The groups of a class of units.

    Raises:
        ValueError: no trained leaf makes the units, or one does by two of its axes.
    """
    makers = [axis for axis in found.axes if axis.makes and axis.trained]
    paths = [axis.path for axis in makers]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(
                f"the units {found.name!r} are made by the leaf {path!r} along two of its axes: their "
                "weights overlap, and overlapping groups have no prox; leave this class out"
            )
    if not makers:
        raise ValueError(
            f"no trained leaf makes the units {found.name!r}: their leaves are "
            f"{[axis.path for axis in found.axes]}; leave this class out"
        )
    return UnitGroups(
        found.name,
        found.units,
        tuple(Makers(x.path, x.axis, x.length, tuple(map(_column, x.positions.T))) for x in makers),
    )


def _column(positions: np.ndarray) -> tuple[int, ...]:
    steps = np.unique(np.diff(positions))
    if steps.size > 1:
        return tuple(positions.tolist())
    return int(positions[0]), int(steps[0]) if steps.size else 0


def check_apart(classes: Iterable[UnitGroups]) -> None:
    """Raises ValueError if a weight is of two units."""
    taken: dict[str, tuple[UnitGroups, Makers]] = {}
    for units in classes:
        for makers in units.makers:
            other, before = taken.setdefault(makers.path, (units, makers))
            if other is units:
                continue
            here, there = _positions(units, makers), _positions(other, before)
            if makers.axis != before.axis or np.intersect1d(here, there).size:
                raise ValueError(
                    f"the units {other.name!r} and {units.name!r} share weights of the leaf {makers.path!r}, "
                    "and overlapping groups have no prox: take one of the two classes, as in "
                    f"`Coupled(penalty, [found[{other.name!r}]])`"
                )


def _positions(units: UnitGroups, makers: Makers) -> np.ndarray:
    """Where each unit is on the axis: ints (units, n)."""
    columns = [
        column[0] + column[1] * np.arange(units.units) if len(column) == 2 else np.array(column)
        for column in makers.columns
    ]
    return np.stack(columns, 1)


def kept_of(units: UnitGroups, kept: Callable[[str], Sequence[np.ndarray]]) -> UnitGroups:
    """The units that stay, at their places in the smaller leaves.

    Args:
        units: of the large network.
        kept: from the path of a leaf to bools for each of its axes.
    """
    makers = []
    count = units.units
    for each in units.makers:
        stays, positions = kept(each.path)[each.axis], _positions(units, each)
        positions = (np.cumsum(stays) - 1)[positions[np.all(stays[positions], 1)]]
        count = len(positions)
        makers.append(
            each._replace(length=int(stays.sum()), columns=tuple(map(_column, positions.T)) if count else ())
        )
    return UnitGroups(units.name, count, tuple(makers))


def connected(classes: Sequence[UnitGroups]) -> Iterator[tuple[UnitGroups, ...]]:
    """The classes, those together that have a leaf in common."""
    left = list(classes)
    while left:
        block, grown = [left.pop(0)], True
        while grown:
            paths = {makers.path for units in block for makers in units.makers}
            more = [units for units in left if any(makers.path in paths for makers in units.makers)]
            left = [units for units in left if units not in more]
            block, grown = block + more, bool(more)
        yield tuple(block)


class _OnLeaf(NamedTuple):
    """One leaf of a block: on which axis units are, and where.

    Attributes:
        axis: on which the units are.
        where: for each class of the block the positions of its units, or None if it has none here.
        unit: for each position its unit, counted over all classes; their number, where there is none.
        in_order: whether position i is unit i, throughout.
        complete: whether each position has a unit.
    """

    axis: int
    where: tuple[np.ndarray | None, ...]
    unit: np.ndarray
    in_order: bool
    complete: bool


class AcrossLeaves:
    """Groups of weights that lie in several arrays: a unit's, in each leaf that makes it.

    Sums are worked out leaf by leaf, along all other axes, and added: arrays are not joined.
    """

    def __init__(self, classes: tuple[UnitGroups, ...], shapes: tuple[tuple[int, ...], ...]):
        paths = list(dict.fromkeys(makers.path for units in classes for makers in units.makers))
        self._units = [units.units for units in classes]
        starts = np.cumsum([0, *self._units])
        self._leaves: list[_OnLeaf] = []
        for path in paths:
            mine = [next((m for m in units.makers if m.path == path), None) for units in classes]
            first = next(m for m in mine if m is not None)
            where = tuple(
                None if m is None else _positions(units, m) for units, m in zip(classes, mine, strict=True)
            )
            unit = np.full(first.length, starts[-1])
            for start, at in zip(starts, where, strict=False):
                if at is not None:
                    unit[at] = start + np.arange(len(at))[:, None]
            in_order = len(unit) == starts[-1] and bool(np.all(unit == np.arange(starts[-1])))
            self._leaves.append(_OnLeaf(first.axis, where, unit, in_order, bool(np.all(unit < starts[-1]))))
        self._counts = np.zeros(starts[-1], np.int64)
        for leaf, shape in zip(self._leaves, shapes, strict=True):
            here = np.bincount(leaf.unit, minlength=len(self._counts) + 1)[:-1]
            self._counts += here * (math.prod(shape) // len(leaf.unit))

    def size(self, w: tuple[Array, ...]) -> Array:
        squares = self._sum([squared(x) for x in w])
        return safe_root(squares) / _constant(np.sqrt(self._counts), squares)

    def total(self, of_groups: Array) -> Array:
        return jnp.sum(_constant(self._counts, of_groups) * of_groups)

    def inner(self, x: tuple[Array, ...], y: tuple[Array, ...]) -> Array:
        return self._sum([jnp.real(a * jnp.conj(b)) for a, b in zip(x, y, strict=True)])

    def each(
        self, function: Callable[..., Array], of_groups: tuple[Array, ...], *arrays: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        results = []
        for leaf, *of_leaf in zip(self._leaves, *arrays, strict=True):
            new = function(*(self._spread(x, leaf, of_leaf[0]) for x in of_groups), *of_leaf)
            if not leaf.complete:
                new = jnp.where(_along(leaf.unit < sum(self._units), leaf, new), new, of_leaf[-1])
            results.append(new)
        return tuple(results)

    def mask(self, of_groups: Array, w: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(self._spread(of_groups, leaf, x) for leaf, x in zip(self._leaves, w, strict=True))

    def _sum(self, entries: Sequence[Array]) -> Array:
        """The sum of real entries over the weights of each unit."""
        dtype = max((x.dtype for x in entries), key=lambda dtype: dtype.itemsize)
        total = []
        for leaf, x in zip(self._leaves, entries, strict=True):
            line = jnp.sum(x, tuple(axis for axis in range(x.ndim) if axis != leaf.axis)).astype(dtype)
            total.append(line if leaf.in_order else self._gathered(line, leaf))
        return functools.reduce(jnp.add, total)

    def _gathered(self, line: Array, leaf: _OnLeaf) -> Array:
        """Sums by position as sums by unit."""
        of_classes = [
            jnp.zeros(units, line.dtype) if at is None else jnp.sum(line[at], 1)
            for units, at in zip(self._units, leaf.where, strict=True)
        ]
        return jnp.concatenate(of_classes)

    def _spread(self, of_groups: Array, leaf: _OnLeaf, x: Array) -> Array:
        """What is of units as it broadcasts to the weights of a leaf; 0 or False where there is no unit."""
        if of_groups.dtype != jnp.bool_:
            of_groups = of_groups.astype(x.real.dtype)
        if not leaf.in_order:
            of_groups = jnp.append(of_groups, jnp.zeros(1, of_groups.dtype))[leaf.unit]
        return _along(of_groups, leaf, x)


def _along(line: Any, leaf: _OnLeaf, x: Array) -> Any:
    """One entry for each position on the axis of a leaf, as it broadcasts to it."""
    shape = [1] * x.ndim
    shape[leaf.axis] = len(leaf.unit)
    return line.reshape(shape)


def _constant(numbers: np.ndarray, like: Array) -> Any:
    """Numbers of groups; one alone, where they are all the same."""
    if numbers.size and np.all(numbers == numbers[0]):
        return float(numbers[0])
    return jnp.asarray(numbers, like.dtype)


@functools.lru_cache(maxsize=256)
def across_leaves(classes: tuple[UnitGroups, ...], shapes: tuple[tuple[int, ...], ...]) -> AcrossLeaves:
    """How these groups lie in leaves of these shapes, in the order in which they are first named."""
    return AcrossLeaves(classes, shapes)
