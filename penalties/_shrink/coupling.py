"""The labels of all axes of a program: the rule of each primitive applied, equation by equation."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from penalties._shrink.labels import Labels
from penalties._shrink.program import Equation, Program, names
from penalties._shrink.rules import LAYOUTS, RULES
from penalties._shrink.rules_layout import Axes

# What a leaf may pass through and still be the same weights: layouts, and arithmetic with scalars.
SAME_WEIGHTS = LAYOUTS | names("convert_element_type copy mul div neg")


@dataclasses.dataclass(eq=False)
class Site:
    """An equation that sums over axes: the only place where a position that goes can change a result.

    `axes` holds, for each operand that is summed over, its axes that are.
    """

    equation: Equation
    axes: tuple[tuple[int, ...], ...]


class Coupling:
    """Which positions of which axes of a program go together.

    Attributes:
        program: the program.
        labels: the sets of labels.
        sites: the equations that sum.
    """

    def __init__(self, program: Program):
        self.program = program
        self.labels = Labels()
        self.sites: list[Site] = []
        self.reads: list[tuple[int, np.ndarray]] = []  # (leaf, labels that are summed over where it is read)
        self.made: dict[int, list[Axes]] = {}  # leaf -> labels of the features it gives, for each use
        self._of: dict[int, Axes] = {}
        self._origins: dict[int, dict[int, Axes]] = {}
        for n, v in enumerate(program.leaves):
            self._of[v] = [self.labels.fresh(length) for length in self.shape(v)]
            self._origins[v] = {n: self._of[v]}
            if not program.is_weight(v):
                self.pin(self._of[v], "it belongs to a leaf that is no floating-point array")
        for v in program.inputs:
            self._of[v] = [self.labels.pinned(length, "an input") for length in self.shape(v)]
        self.visit(program.equations)
        for v in program.outputs:
            self.pin(self.axes(v), "an output")
        self._pin_unsummed()
        self.labels.resolve()
        self.root = self.labels.find(np.arange(self.labels.count))

    def shape(self, variable: int) -> tuple[int, ...]:
        return self.program.shapes[variable]

    def axes(self, variable: int) -> Axes:
        """The labels of each axis of a variable."""
        if variable not in self._of:  # a constant of the trace: cut as a leaf is
            self._of[variable] = [self.labels.fresh(n) for n in self.shape(variable)]
        return self._of[variable]

    def roots(self, variable: int) -> Axes:
        """The representatives of the labels of each axis of a variable."""
        return [self.root[x] for x in self.axes(variable)]

    def pin(self, axes: Iterable[np.ndarray], why: str) -> None:
        for labels in axes:
            self.labels.pin(labels, why)

    def visit(self, equations: Sequence[Equation]) -> None:
        for equation in equations:
            operands = [self.axes(v) for v in equation.inputs]
            results = RULES.get(equation.name, _unknown)(self, equation, operands)
            for v, axes in zip(equation.outputs, results, strict=True):
                if tuple(map(len, axes)) != self.shape(v):
                    raise AssertionError(
                        f"the rule of {equation.name} gives axes of other lengths than it has"
                    )
                self._of[v] = axes
                # An axis cut down to length 1 can be squeezed away or broadcast: it has to have that length.
                self.pin([labels for labels in axes if len(labels) == 1], "of length 1")
            self._follow(equation)

    def set(self, variable: int, axes: Axes, like: int) -> None:
        """Gives a variable its labels; `like` is the variable that it is a part of."""
        self._of[variable] = axes
        if len(self._origins.get(like, ())) == 1:
            self._origins[variable] = dict.fromkeys(self._origins[like], axes)

    def sum(self, equation: Equation, *axes: Sequence[int]) -> None:
        """Notes that the equation sums over these axes of its operands."""
        self.sites.append(Site(equation, tuple(tuple(a) for a in axes)))
        for v, summed in zip(equation.inputs, axes, strict=False):
            self.reads += [(n, own[k]) for n, own in self._origins.get(v, {}).items() for k in summed]

    def make(self, variable: int, axes: Iterable[int]) -> None:
        """Notes that these axes of a variable become features of a result."""
        axes = list(axes)
        for n, own in self._origins.get(variable, {}).items():
            self.made.setdefault(n, []).append([own[k] for k in axes])

    def _follow(self, equation: Equation) -> None:
        """Which leaves a result is made of, each with its own labels for the axes of the result."""
        (result, *more), name = equation.outputs, equation.name
        large = [v for v in equation.inputs if math.prod(self.shape(v)) > 1]
        if more or not large or not all(v in self._origins for v in large):
            return
        if name == "concatenate":  # the rows of each part are labelled by the first part's in the result
            self._origins[result] = {n: own for v in large for n, own in self._origins[v].items()}
        elif name in SAME_WEIGHTS and len(large) == 1:
            origins = self._origins[large[0]]
            if len(origins) == 1:
                self._origins[result] = dict.fromkeys(origins, self.axes(result))
            elif name not in LAYOUTS:
                self._origins[result] = origins

    def _pin_unsummed(self) -> None:
        """A position over which nothing is summed would look dead: a leaf unused, or used in part."""
        summed = np.zeros(self.labels.count, bool)
        for site in self.sites:
            for v, axes in zip(site.equation.inputs, site.axes, strict=False):
                for k in axes:
                    summed[self.labels.find(self.axes(v)[k])] = True
        # Whatever a flat position that is summed is made of, is summed too.
        self.labels.resolve()
        root = self.labels.find(np.arange(self.labels.count))
        marked = np.zeros(self.labels.count, bool)
        marked[root[summed]] = True
        marked = self.labels.spread(marked)
        for v in self.program.leaves:
            for labels in self.axes(v):
                index, bases = self.labels.bases(self.labels.find(labels))
                alone = np.zeros(len(labels), bool)
                alone[index[~marked[bases]]] = True
                self.labels.pin(labels[alone], "nothing sums over it")


def _unknown(coupling: Coupling, equation: Equation, operands: list[Axes]) -> list[Axes]:
    """Nothing that a primitive without a rule touches may change its shape."""
    why = f"the primitive {equation.name}, which has no rule,"
    for axes in operands:
        coupling.pin(axes, why)
    return [[coupling.labels.pinned(n, why) for n in coupling.shape(v)] for v in equation.outputs]
