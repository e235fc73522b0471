"""Part: what is worked on by itself, one leaf or several whose groups span them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from penalties._tree.paths import Leaf, at_leaf

if TYPE_CHECKING:
    from penalties._penalty.base import Penalty
    from penalties._penalty.spanning import Beside

T = TypeVar("T")


class Part(NamedTuple):
    """What is worked on by itself: most often one leaf, of a joint penalty all leaves of a block.

    Attributes:
        penalty: with the numbers that are for it.
        leaves: of params.
        at: where they stand among those that are worked on.
        is_joint: whether the penalty takes tuples of arrays, and not one.
    """

    penalty: Penalty | Beside
    leaves: tuple[Leaf, ...]
    at: tuple[int, ...]
    is_joint: bool

    @property
    def weights(self) -> Any:
        """The array of its leaf, or those of its leaves."""
        values = tuple(leaf.value for leaf in self.leaves)
        return values if self.is_joint else values[0]

    def of(self, values: Any) -> Any:
        """Its own among values by position."""
        return tuple(values[i] for i in self.at) if self.is_joint else values[self.at[0]]

    def by_position(self, results: Any) -> dict[int, Any]:
        """Its results, one or several, by their positions."""
        return dict(zip(self.at, results, strict=True)) if self.is_joint else {self.at[0]: results}

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """function(penalty, weights, *args), whose errors say at which leaves they happened."""
        if not self.is_joint:
            return at_leaf(self.leaves[0], function, self.penalty, self.weights, *args)
        try:
            return function(self.penalty, self.weights, *args)
        except Exception as error:
            error.add_note(f"This was at the leaves {[leaf.path for leaf in self.leaves]}.")
            raise
