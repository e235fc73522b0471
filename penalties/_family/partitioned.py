"""PartitionedPenalty: what all penalties of groups have in common, whatever the shape of groups."""

import abc
from collections.abc import Hashable
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._penalty.axes import checked_axes
from penalties._penalty.base import Penalty
from penalties._penalty.fields import WORDS, is_word
from penalties._penalty.partitions import Partition, Units
from penalties._penalty.split import Split


class PartitionedPenalty(Penalty, abc.ABC):
    """A penalty of groups: one per index along `axis`, or as `groups` says, each with its weight.

    Once it is made `groups` is a partition; `axis` is None for those that no axis gives.
    """

    if TYPE_CHECKING:  # fields of each subclass; here they would come before the strength
        axis: ClassVar[Any]
        groups: ClassVar[Any]
        weights: ClassVar[Any]

    @property
    def joint(self) -> Hashable:
        """The partition: groups of different ones overlap."""
        return self.groups

    def __post_init__(self):
        name = self.name_in_config
        groups = self.groups
        if groups is None:
            groups = Units(checked_axes(self))
        if not isinstance(groups, Partition):
            raise TypeError(
                f"{name}.groups is {groups!r} of type {type(groups).__name__}: expected units(axis), "
                "leaves(), blocks(shape) or labels(tree)"
            )
        if self.axis not in (-1, None) and groups != Units(checked_axes(self)):
            raise ValueError(f"{name} got axis={self.axis!r} and groups={groups!r}: expected one of them")
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "axis", groups.axis if isinstance(groups, Units) else None)
        object.__setattr__(self, "weights", _checked_weights(self.weights, f"{name}.weights"))
        super().__post_init__()

    def split(self, w: Array) -> Split:
        """The groups of one array."""
        return self.groups.split(w, self._owner)

    def weight(self, split: Split, dtype: Any) -> Any:
        """The weight ω of each group: one number, or kept in this dtype."""
        if is_word(self.weights):
            return split.root_of_members(dtype) if self.weights == "sqrt" else split.members(dtype)
        if self.weights.ndim and self.weights.shape != split.grid:
            raise ValueError(
                f"{self.name_in_config}.weights of shape {self.weights.shape} on a leaf of shape "
                f"{split.shape}: expected one number, or an array of shape {split.grid} with one for each "
                "group; for several leaves give a tree"
            )
        return split.kept(self.weights) if self.weights.ndim else self.weights

    def per_group(self, split: Split, number: Array, name: str) -> Array:
        """A strength or a step that is the same within groups, so that it broadcasts to arranged arrays.

        Raises:
            ValueError: it varies within them.
        """
        if split.varies(number):
            otherwise = "; of groups of any shape, `weights=`" if name == "strength" else ""
            raise ValueError(
                f"the {name} of shape {number.shape} varies within the groups of {self._owner} on a leaf of "
                f"shape {split.shape}: give one number, or, of groups along axes, one for each, of length 1 "
                f"along the axes within them{otherwise}"
            )
        return split.broadcast(number)

    def all_in_groups(self, mask: Array) -> Array:
        split = self.split(mask)
        return split.once(split.max(split.arranged((~mask).astype(jnp.float32)))) == 0

    def told(self) -> tuple[Field, ...]:
        """All but what follows from the others, and weights that were not given."""
        idle = {"groups" if self.axis is not None else "axis"}
        for field in fields(self):
            if field.name == "weights" and is_word(self.weights) and self.weights == field.default:
                idle.add("weights")
        return tuple(field for field in fields(self) if field.name not in idle)

    @property
    def _owner(self) -> str:
        told = f"axis={self.axis}" if self.axis is not None else f"groups={self.groups!r}"
        return f"{self.name_in_config}({told})"


def _checked_weights(weights: Any, name: str) -> Any:
    """The weights, of a sequence of numbers an array; what is wrong with the numbers is said elsewhere."""
    if is_word(weights):
        return weights
    if weights is None or isinstance(weights, str):
        raise TypeError(
            f"{name} is {weights!r}: expected one of {WORDS}, a number > 0, or an array with one for each "
            "group"
        )
    if (
        isinstance(weights, (list, tuple))
        and weights
        and all(np.ndim(x) == 0 for x in jax.tree.leaves(weights))
    ):
        return jnp.asarray(weights, float)
    return weights
