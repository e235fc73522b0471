"""A target for the share of zeros: what may be asked for, how much when, and what it leaves each leaf."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from penalties._choose.steered import steered
from penalties._choose.units import are_groups, check_units, sizes
from penalties._penalty.base import Penalty, check_penalty
from penalties._penalty.binding import bind_parts
from penalties._penalty.parts import Part
from penalties._penalty.settling import check_settling
from penalties._penalty.strengths import PerLeaf, is_number
from penalties._training.step import no_average
from penalties._tree.paths import Leaf

# In how many steps the strength is chosen anew; how often up to the cut of a long training; and how often, at
# least, while the target is rising.
EVERY, MOST, LOOKS = 10, 50, 5
# The part of the way to the cut in which the target rises.
RAMP = 0.8


class Counted(NamedTuple):
    """A leaf whose zeros are counted, or several that have units in common."""

    part: Part
    shape: tuple[int, ...]  # of units: of groups along axes, those within have length 1
    grouped: bool

    @property
    def penalty(self) -> Any:
        """Theirs, strengths filled in."""
        return self.part.penalty

    @property
    def paths(self) -> list[str]:
        """Those of the leaves."""
        return [leaf.path for leaf in self.part.leaves]

    def of(self, by_path: Mapping[str, Any]) -> Any:
        """What belongs to the leaves: one, or a tuple."""
        for path in self.paths:
            if path not in by_path:
                raise no_average(path, self.part.penalty)
        values = tuple(by_path[path] for path in self.paths)
        return values if self.part.is_joint else values[0]

    @property
    def has_weights(self) -> bool:
        """Whether any of the leaves has."""
        return any(np.prod(leaf.value.shape) for leaf in self.part.leaves)

    @property
    def count(self) -> int:
        """The number of units."""
        return int(np.prod(self.shape))


class Plan:
    """Which leaves are counted, and how many units of each are to be zero in the end.

    Attributes:
        units: the leaves with a kink and with weights, those together that have units in common.
        paths: of all leaves that are penalized.
        pooled: whether all units count together: for a target that is one number.
        counts: for each of `units` their number; pooled, that of all.
        keep: for each of `units` how many are kept in the end; pooled, of all together.
        least: for each of `units` how many are kept in any case.
    """

    def __init__(self, penalty: Penalty, leaves: Sequence[Leaf], target: Any, floor: float):
        parts = bind_parts(penalty, leaves)
        self._penalty = penalty
        self.paths = [leaf.path for part in parts for leaf in part.leaves]
        # A leaf of no weights has no unit to keep.
        self.units = [
            unit for unit in (_counted(part) for part in parts if part.penalty.kink) if unit.has_weights
        ]
        if not self.units:
            raise ValueError(
                f"the leaves {self.paths[:20]} have no weights, and there is no share to aim at: select "
                "others with `.on(...)`"
            )
        shares, treedef = jax.tree.flatten(target)
        self.pooled = jax.tree_util.treedef_is_leaf(treedef)
        which = PerLeaf(treedef.unflatten(range(len(shares))), "target", leaves)
        self._parts = [shares[_the_entry(which, unit)] for unit in self.units]
        share = jnp.stack([jnp.asarray(part, jnp.float32) for part in self._parts])
        own = np.array([unit.count for unit in self.units])
        counts = np.full(own.shape, own.sum()) if self.pooled else own
        # As `count` counts.
        self.dtype = jnp.int32 if own.sum() <= jnp.iinfo(jnp.int32).max else jnp.float32
        self.own, self.counts = jnp.asarray(own, self.dtype), jnp.asarray(counts, self.dtype)
        # Down, so that the leaves together do not ask for more than is kept; 1e-3 is for rounding.
        even = (1 - share) * own.astype(np.float32)
        self.least = jnp.maximum(jnp.floor(floor * even + 1e-3), 1).astype(self.dtype)
        keep = jnp.round((1 - share) * counts.astype(np.float32)).astype(self.dtype)
        self.keep = jnp.maximum(keep, jnp.sum(self.least, dtype=self.dtype) if self.pooled else self.least)

    def wanted(self, share: Array) -> Array:
        """How many units are to be zero when this share of the target is wanted; pooled, of all together."""
        return jnp.round(share * (self.counts - self.keep).astype(jnp.float32)).astype(self.dtype)

    def together(self, counts: Array) -> Array:
        """Counts of each of `units`; pooled, their sum for each of them."""
        return jnp.broadcast_to(jnp.sum(counts, dtype=counts.dtype), counts.shape) if self.pooled else counts

    def share(self, counted: Array) -> Array:
        """What is counted for each of `units`, pooled for all of them, as a share of all units together."""
        if self.pooled:
            return counted[0].astype(jnp.float32) / self.counts[0].astype(jnp.float32)
        total = jnp.sum(self.counts, dtype=self.dtype).astype(jnp.float32)
        return jnp.sum(counted, dtype=self.dtype).astype(jnp.float32) / total

    def steered(self) -> Any:
        """The penalty as `penalized` is given it, with factors for all leaves."""
        return steered(self._penalty, dict.fromkeys(self.paths, 0.0))

    def require_some(self) -> None:
        """Raises ValueError for a target that leaves a leaf without a unit; a traced one cannot be seen."""
        for unit, share in zip(self.units, self._parts, strict=True):
            if isinstance(share, Tracer):
                return
            of = sum(unit.count for unit in self.units) if self.pooled else unit.count
            need, kept = len(self.units) if self.pooled else 1, round((1 - float(share)) * of)
            if kept < need:
                paths = [path for each in (self.units if self.pooled else [unit]) for path in each.paths]
                where = paths[:20] if self.pooled or len(paths) > 1 else paths[0]
                most = np.floor((1 - need / of) * 1e6) / 1e6
                lower = f"aim at {most:g} or less, or " if most else ""
                raise ValueError(
                    f"the target {float(share):g} leaves {kept} of {of} units for {where!r}, and each leaf "
                    f"needs one: {lower}leave leaves out with `.on(...)`"
                )


def _counted(part: Part) -> Counted:
    check_units(part)

    def shape_of(penalty: Any, weights: Any) -> tuple[int, ...]:
        shaped = jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, w.dtype), weights)
        return jax.eval_shape(lambda w: sizes(penalty, w), shaped).shape

    return Counted(part, part.call(shape_of), are_groups(part.penalty))


def _the_entry(which: PerLeaf, units: Counted) -> int:
    """Which of the targets is for these leaves."""
    found = {which.part(leaf) for leaf in units.part.leaves}
    if len(found) > 1:
        raise ValueError(
            f"the target has several entries for the leaves {units.paths[:20]}, which have units in common: "
            "give one for a branch that holds all of them, or one number for all leaves"
        )
    return found.pop()


def as_share(share: Array) -> Array:
    """A target that somebody set between steps, where no error can be raised: in [0, 1], and 0 for NaN."""
    return jnp.where(jnp.isnan(share), 0, jnp.clip(share, 0, 1))


def last_before_refit(steps: Array, cut: float) -> Array:
    """How many steps there are up to the cut."""
    return jnp.maximum(jnp.round(cut * steps.astype(jnp.float32)).astype(jnp.int32), 1)


def interval(last: Array) -> Array:
    """In how many steps the strength is chosen anew, of `last` up to the cut."""
    return jnp.maximum(EVERY, last // MOST)


def is_due(step: Array, last: Array) -> Array:
    """Whether the strength is chosen anew in this step."""
    every = interval(last)
    # Later by one from time to time: with `optax.MultiSteps` inside it would only look where nothing moves.
    return step % every == (step // every) % 8


def ramp(step: Array, last: Array) -> Array:
    """How much of the target is wanted at a step, of `last` up to the cut: 1 − (1 − min(t/0.8T, 1))³."""
    way = step.astype(jnp.float32) / (RAMP * last.astype(jnp.float32))
    return 1 - (1 - jnp.minimum(way, 1)) ** 3


def check_plan(penalty: Any, target: Any, steps: Any, cut: Any, floor: Any) -> None:
    """Raises TypeError or ValueError for what no training can be made of."""
    check_penalty(penalty, "the penalty", "; its strength is steered, so that a schedule of it has no use")
    check_settling(penalty)
    if not any(atom.kink for atom, _ in penalty.atoms()):
        raise TypeError(
            f"{penalty!r} has no kink at zero, and makes no zeros at any strength: use one such as L1(1.0), "
            "or add it to this one"
        )
    entries = jax.tree_util.tree_flatten_with_path(target, is_leaf=lambda x: x is None)[0]
    if not entries:
        raise TypeError(f"the target is the empty tree {target!r}: expected a share such as 0.9")
    for path, share in entries:
        _check_share(share, f"target{jax.tree_util.keystr(path)}")
    for name, x, inside in (("cut", cut, "(0, 1]"), ("floor", floor, "[0, 1]")):
        if isinstance(x, Tracer) or not is_number(x) or np.ndim(x):
            raise TypeError(f"{name} is {x!r} of type {type(x).__name__}: expected a number in {inside}")
        if not (0 <= x <= 1) or (name == "cut" and x == 0):
            raise ValueError(f"{name} is {x}: expected a number in {inside}")
    _check_steps(steps, float(cut))


def _check_share(share: Any, name: str) -> None:
    if not is_number(share) or np.ndim(share):
        raise TypeError(
            f"{name} is {share!r} of type {type(share).__name__}: expected a share of zeros in [0, 1) such "
            "as 0.9, or a tree of these"
        )
    if not isinstance(share, Tracer) and not 0 <= float(share) < 1:
        hint = f"; {share} % is {float(share) / 100:g}" if 1 < float(share) <= 100 else ""
        raise ValueError(f"{name} is {share}: expected a share of zeros in [0, 1){hint}")


def _check_steps(steps: Any, cut: float) -> None:
    kind = np.dtype(getattr(steps, "dtype", type(steps))).kind if is_number(steps) else ""
    if np.ndim(steps) or kind not in ("i", "u"):
        raise TypeError(
            f"steps is {steps!r} of type {type(steps).__name__}: expected the number of updates, an int"
        )
    rise = EVERY * LOOKS
    if not isinstance(steps, Tracer) and RAMP * cut * int(steps) < rise:
        raise ValueError(
            f"steps is {steps}, of which the target rises in {RAMP * cut * int(steps):.0f} with cut={cut:g}, "
            f"and it needs {rise}: train for {int(np.ceil(rise / RAMP / cut))} steps or more, or cut later"
        )
