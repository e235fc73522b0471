"""A penalty whose factor is steered leaf by leaf, and which at last only holds its zeros."""

import functools
import operator
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.units import sizes, spread
from penalties._penalty.base import Penalty
from penalties._penalty.binding import positions_of
from penalties._penalty.fields import nested, parameter, remade
from penalties._penalty.joint import JointPenalty
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.strengths import Strength
from penalties._tree.paths import Leaf


class _Steering:
    """What both kinds have in common: formulas of an array, or of a tuple of arrays."""

    penalty: Any
    factor: Any
    holds: Any

    @property
    def kink(self) -> bool:
        """Whether R has one."""
        return self.penalty.kink

    def value_at(self, w: Any) -> Array:
        return self._steered.value_at(w)

    def subgradient_at(self, w: Any, gradient: Any, average: Any) -> Any:
        least = self._steered.subgradient_at(w, gradient, average)
        if not self.kink:
            return least
        return jax.tree.map(lambda held, x: jnp.where(held, jnp.zeros_like(x), x), self._held(w), least)

    def settles_at(self, w: Any, moved: Any, direction: Any, average: Average | None) -> Any:
        settles = self._steered.settles_at(w, moved, direction, average)
        return jax.tree.map(operator.or_, settles, self._held(w))

    @property
    def _steered(self) -> Any:
        return self.penalty.scaled(self.factor)

    def _held(self, w: Any) -> Any:
        return spread(self.penalty, (self.holds > 0) & (sizes(self.penalty, w) == 0), w)


class Steered(_Steering, SettlingPenalty):
    """factor · R, and with `holds` = 1 infinity wherever what is zero now would leave zero.

    Args:
        penalty: R, of single leaves.
        factor: one for each leaf.
        holds: 0, or 1.
    """

    penalty: SettlingPenalty = nested()
    factor: Strength
    holds: Strength = parameter(at_least=0)

    @property
    def joint(self) -> Hashable:
        """Those of R."""
        return self.penalty.joint


class SteeredUnits(_Steering, JointPenalty):
    """`Steered` of penalties whose groups span leaves."""

    penalty: SettlingPenalty = nested()
    factor: Strength
    holds: Strength = parameter(at_least=0)

    @property
    def paths(self) -> tuple[str, ...]:
        """Those of all of them."""
        return tuple(path for atom, _ in self.penalty.atoms() for path in atom.paths)  # type: ignore[attr-defined]

    def blocks(
        self, leaves: Sequence[Leaf], chosen: Sequence[int]
    ) -> Iterator[tuple["SteeredUnits", tuple[int, ...]]]:
        for atom in self.penalty.atoms():
            joint: Any = atom[0]
            mine = set(positions_of(atom, leaves))
            for block, at in joint.blocks(leaves, [i for i in chosen if i in mine]):
                # A block has one factor: that of each of its leaves.
                yield remade(self, penalty=block, factor=self.factor[leaves[at[0]].path]), at

    def sizes_at(self, w: Any) -> Array:
        return self._units.sizes_at(w)

    def slopes_at(self, w: Any) -> Array:
        return self._units.scaled(self.factor).slopes_at(w)

    def mask_at(self, of_groups: Array, w: Any) -> Any:
        return self._units.mask_at(of_groups, w)

    @property
    def _units(self) -> Any:
        return self.penalty


def steered(penalty: Penalty, factor: Any) -> Any:
    """The penalty with this factor: one for all leaves, or a dict with one for each path."""
    alone, together = [], []
    for atom, selections in penalty.atoms():
        within: Penalty = atom
        for selection in selections:
            within = remade(selection, penalty=within)
        (together if atom.spans_leaves else alone).append(within)
    kinds = ((Steered, alone), (SteeredUnits, together))
    return _sum([kind(_sum(terms), factor, holds=0.0) for kind, terms in kinds if terms])


def with_factors(penalty: Any, factor: dict[str, Array], holds: Array) -> Any:
    """What `steered` made, with these factors."""

    def new(x: Any) -> Any:
        return remade(x, factor=factor, holds=holds)

    return jax.tree.map(new, penalty, is_leaf=_is_steered)


def factors_of(penalty: Any) -> dict[str, Array]:
    """The factor of each leaf, in what `steered` made."""
    return jax.tree.leaves(penalty, is_leaf=_is_steered)[0].factor


def _is_steered(x: Any) -> bool:
    return isinstance(x, (Steered, SteeredUnits))


def _sum(terms: Sequence[Any]) -> Any:
    return functools.reduce(operator.add, terms)
