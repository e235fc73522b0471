"""Which units are needed, and which are dead.

A set of units can go if, at every site, what its positions contribute to the sums that stay is known
to be 0. Then everything that stays is what it was: by induction over the equations, as all others
treat positions one by one. The largest such set is what is left when all that is needed is marked,
from the outputs back.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from penalties._shrink.abstract import any_over
from penalties._shrink.coupling import Coupling, Site
from penalties._shrink.known import Knowledge
from penalties._shrink.units import Units


@dataclasses.dataclass(eq=False)
class Contribution:
    """What a site sums: where the terms may count, and the labels of all axes."""

    site: Site
    roots: list[list[np.ndarray]]  # of each operand's axes
    counts: list[np.ndarray]  # of each operand, see `Abstract.may_count`

    def used(self, keep: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each summed axis its labels, and where a term of a sum that stays may count."""
        name, params = self.site.equation.name, self.site.equation.params
        if name == "reduce_sum":
            (summed,) = self.site.axes
            terms = _any(self.counts[0], self.roots[0], keep, summed)
        elif name == "dot_general":
            summed = self.site.axes[0]
            batch = params["dimension_numbers"][1]
            a, b = (
                _any(count, roots, keep, (*own, *axes))
                for count, roots, own, axes in zip(
                    self.counts, self.roots, batch, self.site.axes, strict=True
                )
            )
            terms = _over_batch(a & b, [self.roots[0][k] for k in batch[0]], keep)
        else:
            summed = self.site.axes[0]
            a, b = (
                _any(count, roots, keep, axes)
                for count, roots, axes in zip(self.counts, self.roots, self.site.axes, strict=True)
            )
            terms = a & b
        labels = [self.roots[0][k] for k in summed]
        terms = np.broadcast_to(terms, [len(x) for x in labels])
        others = [tuple(j for j in range(terms.ndim) if j != i) for i in range(terms.ndim)]
        return [(x, any_over(terms, rest)) for x, rest in zip(labels, others, strict=True)]


def _any(counts: np.ndarray, roots: list[np.ndarray], keep: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Whether any element counts, over the positions that stay of all axes but these; in their order."""
    for k, labels in enumerate(roots):
        if k in axes:
            continue
        stay = keep[labels]
        if counts.shape[k] == 1:
            if not stay.any():
                counts = np.zeros_like(counts)
        elif not stay.all():
            counts = counts.take(np.flatnonzero(stay), k)
    rest = tuple(k for k in range(counts.ndim) if k not in axes)
    counts = any_over(counts, rest)
    order = np.argsort(np.argsort(axes))
    return counts.transpose(order)


def _over_batch(terms: np.ndarray, batch: list[np.ndarray], keep: np.ndarray) -> np.ndarray:
    for labels in batch:
        stay = keep[labels]
        terms = any_over(terms & stay[(...,) + (None,) * (terms.ndim - 1)], 0)
    return terms


def contributions(coupling: Coupling, knowledge: Knowledge) -> list[Contribution]:
    """What each site of the coupling sums, from the last to the first."""
    found = []
    for site in reversed(coupling.sites):
        operands = knowledge.at(site.equation)[: len(site.axes)]
        roots = [coupling.roots(v) for v in site.equation.inputs[: len(site.axes)]]
        found.append(Contribution(site, roots, [x.may_count() for x in operands]))
    return found


Ignored = Callable[[Site, np.ndarray, np.ndarray], np.ndarray]


def needed(
    coupling: Coupling, sums: list[Contribution], start: np.ndarray, ignored: Ignored | None = None
) -> np.ndarray:
    """Which labels are needed, given that those of `start` are.

    `ignored(site, labels, used)` may take some of the used positions of a site out again.
    """
    marked = coupling.labels.spread(start.copy())
    while True:
        before = marked.sum()
        for sum_ in sums:
            keep = coupling.labels.kept(marked)
            for labels, used in sum_.used(keep):
                if ignored is not None:
                    used = ignored(sum_.site, labels, used)
                marked[labels[used]] = True
            marked = coupling.labels.spread(marked)
        if marked.sum() == before:
            return marked


def dead_units(
    coupling: Coupling, units: Units, sums: list[Contribution], ignored: Ignored | None = None
) -> np.ndarray:
    """Which units are dead, one bool for each; one unit of a class stays in any case."""
    start = np.ones(coupling.labels.count, bool)
    start[units.root] = False
    start[coupling.labels.derived] = False
    while True:
        dead = ~needed(coupling, sums, start, ignored)[units.root]
        alive = np.bincount(units.classes[~dead], minlength=units.count)
        empty = np.flatnonzero(alive == 0)
        if not empty.size:
            return dead
        # What a unit that stays computes has to be right, too: so it is needed.
        first = np.array([np.flatnonzero(units.classes == c)[0] for c in empty])
        start[units.root[first]] = True
