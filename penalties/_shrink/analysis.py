"""What `shrink` works out: which units are dead, and whether they are at other shapes of the inputs, too."""

import numpy as np

from penalties._shrink.coupling import Coupling
from penalties._shrink.folding import Folding
from penalties._shrink.known import Knowledge
from penalties._shrink.needed import Contribution, contributions, dead_units
from penalties._shrink.networks import Network
from penalties._shrink.program import Program
from penalties._shrink.units import Units, units_of

Masks = list[list[np.ndarray]]  # for each leaf, for each axis, which positions stay


class Analysis:
    """A network at one shape of its inputs: couplings, units, and what is known of its sums."""

    def __init__(self, network: Network):
        self.network = network
        self.coupling = Coupling(Program(network.function, network.leaves, network.inputs))
        self.units: Units = units_of(self.coupling)
        knowledge = Knowledge(self.coupling, network.leaves)
        self.sums: list[Contribution] = contributions(self.coupling, knowledge)
        self.folding = Folding(self.coupling, knowledge, self.sums)

    def keep(self, dead: np.ndarray) -> np.ndarray:
        """Which labels stay when these units go."""
        base = np.ones(self.coupling.labels.count, bool)
        base[self.units.root[dead]] = False
        return self.coupling.labels.kept(base)

    def masks(self, keep: np.ndarray) -> Masks:
        return [[keep[roots] for roots in self.coupling.roots(v)] for v in self.coupling.program.leaves]

    def choose(self, fold: bool) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The dead units, and what is to be added to the leaves for them."""
        if not fold:
            return dead_units(self.coupling, self.units, self.sums), {}
        while True:
            dead = dead_units(self.coupling, self.units, self.sums, self.folding.ignored)
            amounts = self.folding.amounts(self.keep(dead))
            if amounts is not None:
                return dead, amounts

    def gone(self, masks: Masks) -> np.ndarray:
        """Which units go when these positions of the leaves do."""
        units, stays = self.units, np.zeros(len(self.units.root), bool)
        for leaf, axes in enumerate(masks):
            for axis, mask in enumerate(axes):
                rows = (units.leaf == leaf) & (units.axis == axis)
                np.logical_or.at(stays, units.unit[rows], mask[units.position[rows]])
        return ~stays

    def check(self, masks: Masks, amounts: dict[int, np.ndarray]) -> np.ndarray:
        """What stays here when these positions of the leaves go; an error if that changed the outputs."""
        keep = self.keep(self.gone(masks))
        for path, mine, given in zip(self.network.paths, self.masks(keep), masks, strict=True):
            if not all(map(np.array_equal, mine, given)):
                raise ValueError(_another_program(f"the units of {path!r} belong together in another way"))
        for sum_ in self.sums:
            for labels, used in sum_.used(keep):
                used = self.folding.ignored(sum_.site, labels, used)
                if (used & ~keep[labels]).any():
                    raise ValueError(_another_program("a unit that is dead there is not dead here"))
        now = self.folding.amounts(keep)
        if now is None or now.keys() != amounts.keys() or not all(_close(now[n], amounts[n]) for n in now):
            raise ValueError(_another_program("dead units send on other constants"))
        return keep


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-5 * float(np.abs(b).max(initial=0))))


def _another_program(what: str) -> str:
    return (
        "at inputs of these shapes the function does something else than at those it was shrunk with: "
        f"{what}; shrink it with inputs of these shapes"
    )
