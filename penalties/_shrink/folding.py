"""Constants that dead units send on, moved into the next bias.

A unit with value c whatever the input is (tanh of its bias, the shift of its norm) adds c times its
outgoing weights to the next sums. Where a bias is added to these sums, and the amount is one number
for each of its elements, the bias can take it over and the unit is dead.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from penalties._shrink import known
from penalties._shrink.abstract import Abstract
from penalties._shrink.abstract import known as constant
from penalties._shrink.coupling import Coupling, Site
from penalties._shrink.known import Knowledge
from penalties._shrink.needed import Contribution
from penalties._shrink.program import Equation, Program, names

ARRANGED = names("reshape broadcast_in_dim transpose squeeze expand_dims convert_element_type")


@dataclasses.dataclass(eq=False)
class Bias:
    """A leaf that is added to, or subtracted from, what a site gives."""

    leaf: int
    sign: int
    to_sum: list[Equation]  # from the site's result to the operand of the sum
    to_leaf: list[Equation]  # from the leaf to the other operand


class Folding:
    """Which positions of which sites a bias can take over."""

    def __init__(self, coupling: Coupling, knowledge: Knowledge, sums: Sequence[Contribution]):
        self._coupling, self._knowledge, self._sums = coupling, knowledge, sums
        biases = _Biases(coupling.program)
        self._foldable: dict[int, tuple[Bias, np.ndarray]] = {}
        for sum_ in sums:
            bias = biases.after(sum_.site) if _one_axis(sum_.site) else None
            if bias is not None:
                self._foldable[id(sum_.site)] = bias, self._constant(sum_.site)

    def ignored(self, site: Site, labels: np.ndarray, used: np.ndarray) -> np.ndarray:
        """`used` without what a bias can take over."""
        if id(site) not in self._foldable:
            return used
        return used & ~self._foldable[id(site)][1]

    def amounts(self, keep: np.ndarray) -> dict[int, np.ndarray] | None:
        """What to add to the leaves when only the labels of `keep` stay.

        None if some amount is no constant: it is not ignored from then on.
        """
        moved: dict[int, np.ndarray] = {}
        failed = False
        for sum_ in self._sums:
            if id(sum_.site) not in self._foldable:
                continue
            bias, constant_ = self._foldable[id(sum_.site)]
            ((labels, used),) = sum_.used(keep)
            gone = np.flatnonzero(used & ~keep[labels])
            if not gone.size:
                continue
            amount = self._amount(sum_.site, bias, gone)
            if amount is None:
                constant_[gone] = False
                failed = True
            else:
                moved[bias.leaf] = moved.get(bias.leaf, 0) + bias.sign * amount
        return None if failed else moved

    def _constant(self, site: Site) -> np.ndarray:
        """At which positions of the summed axis both operands are known."""
        n = len(self._coupling.axes(site.equation.inputs[0])[site.axes[0][0]])
        result = np.ones(n, bool)
        for x, (k,) in zip(self._knowledge.at(site.equation), site.axes, strict=False):
            result = result & ~x.unknown.any(tuple(j for j in range(x.unknown.ndim) if j != k))
        return result

    def _amount(self, site: Site, bias: Bias, positions: np.ndarray) -> np.ndarray | None:
        program = self._coupling.program
        shape = program.shapes[program.leaves[bias.leaf]]
        at = self._knowledge.at(site.equation)
        operands, sizes, shapes = [], [], []
        for v, x, (k,) in zip(site.equation.inputs, at, site.axes, strict=False):
            full = program.shapes[v]
            shapes.append(tuple(len(positions) if j == k else n for j, n in enumerate(full)))
            x = x.along([k], full).map(lambda a, k=k: a.take(positions, k))
            operands.append(x)
            sizes.append(Abstract(np.abs(x.value), x.unknown))
        amount, size = (
            self._pushed(site.equation, bias.to_sum, start, shapes) for start in (operands, sizes)
        )
        index = constant(np.arange(np.prod(shape, dtype=int)).reshape(shape))
        for equation in bias.to_leaf:
            if equation.name != "convert_element_type":
                index = self._step(equation, [index])
        amount, size, index = np.broadcast_arrays(amount.value, size.value, index.value)
        _, first = np.unique(index, return_index=True)
        result = amount.ravel()[first]
        # Sums over the same terms in another order differ by rounding.
        rounding = 32 * np.finfo(size.dtype).eps * size
        if not (np.abs(amount - result[index]) <= rounding).all():
            return None
        return result.reshape(shape)

    def _pushed(
        self, equation: Equation, chain: list[Equation], operands: list[Abstract], shapes: list[Any]
    ) -> Abstract:
        out = [self._coupling.program.shapes[v] for v in equation.outputs]
        (x,) = known.RULES[equation.name](equation, operands, shapes, out)
        for step in chain:
            x = self._step(step, [x])
        return x

    def _step(self, equation: Equation, operands: list[Abstract]) -> Abstract:
        shapes = [self._coupling.program.shapes[v] for v in equation.inputs]
        out = [self._coupling.program.shapes[v] for v in equation.outputs]
        return known.RULES[equation.name](equation, operands, shapes, out)[0]


def _one_axis(site: Site) -> bool:
    name, params = site.equation.name, site.equation.params
    if name == "dot_general":
        return len(site.axes[0]) == 1 and not params["dimension_numbers"][1][0]
    return name == "conv_general_dilated"


class _Biases:
    """Who makes and who uses each variable of a program."""

    def __init__(self, program: Program):
        self._program = program
        self._makers = {v: e for e in program.equations for v in e.outputs}
        self._users: dict[int, list[Equation | None]] = {}
        for equation in program.equations:
            for v in equation.inputs:
                self._users.setdefault(v, []).append(equation)
        for v in program.outputs:
            self._users.setdefault(v, []).append(None)

    def after(self, site: Site) -> Bias | None:
        """The bias that what a site gives is used for, and nothing else, if there is one."""
        if site.equation.outputs[0] not in self._makers:
            return None  # in a scan
        v, to_sum = site.equation.outputs[0], []
        while True:
            user = self._only_user(v)
            if user is None:
                return None
            if user.name not in ARRANGED:
                break
            to_sum.append(user)
            v = user.outputs[0]
        if user.name not in ("add", "sub") or user.inputs[0] == user.inputs[1]:
            return None
        place = user.inputs.index(v)
        if user.name == "sub" and place == 1:
            return None
        leaf = self._leaf(user.inputs[1 - place])
        if leaf is None:
            return None
        return Bias(leaf[0], 1 if user.name == "add" else -1, to_sum, leaf[1])

    def _leaf(self, v: int) -> tuple[int, list[Equation]] | None:
        chain: list[Equation] = []
        while v not in self._program.leaves:
            maker = self._makers.get(v)
            if maker is None or maker.name not in ARRANGED or self._only_user(v) is None:
                return None
            chain.append(maker)
            v = maker.inputs[0]
        if self._only_user(v) is None or not self._program.is_weight(v):
            return None
        return self._program.leaves.index(v), chain[::-1]

    def _only_user(self, v: int) -> Equation | None:
        users = self._users.get(v, [])
        return users[0] if len(users) == 1 else None
