"""What is known of a program's values whatever its inputs are: abstract interpretation.

The weights are known, the inputs are not, a product is known if one factor is known to be 0, and so
on, equation by equation. Arrays are NumPy's and have length 1 along axes where nothing changes, so
that neither a batch nor a compiler costs anything.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from penalties._shrink import known_layout, known_sums
from penalties._shrink.abstract import Abstract, known, masked, numpy_dtype, unknown
from penalties._shrink.coupling import Coupling
from penalties._shrink.program import Equation
from penalties._shrink.rules import CUMULATIVE, ELEMENTWISE, REDUCTIONS, WINDOWS

RULES: dict[str, Any] = {
    **dict.fromkeys(ELEMENTWISE, known_layout.elementwise),
    "optimization_barrier": known_layout.unchanged,
    "transpose": known_layout.transpose,
    "reshape": known_layout.reshape,
    "squeeze": known_layout.reshape,
    "expand_dims": known_layout.reshape,
    "broadcast_in_dim": known_layout.broadcast_in_dim,
    "tile": known_layout.tile,
    "iota": known_layout.iota,
    "slice": known_layout.slice_,
    "split": known_layout.split,
    "concatenate": known_layout.concatenate,
    "stack": known_layout.stack,
    "unstack": known_layout.unstack,
    "pad": known_layout.pad,
    "rev": known_layout.rev,
    "dot_general": known_sums.dot_general,
    "conv_general_dilated": known_sums.convolution,
    "reduce_sum": known_sums.reduce_sum,
    **dict.fromkeys(REDUCTIONS, known_sums.reduce_other),
    **dict.fromkeys(CUMULATIVE, known_sums.along),
    **dict.fromkeys(WINDOWS, known_sums.window),
    "gather": known_sums.gather,
    "dynamic_slice": known_sums.dynamic_slice,
}


class Knowledge:
    """What is known at the sites of a coupling, when the leaves have these values."""

    def __init__(self, coupling: Coupling, leaves: Sequence[Any]):
        self._program = coupling.program
        self._sites = {id(site.equation) for site in coupling.sites}
        self._at: dict[int, list[Abstract]] = {}
        self._values: dict[int, Abstract] = {}
        program = self._program
        for v, leaf in zip(program.leaves, leaves, strict=True):
            self._values[v] = unknown(program.shapes[v], None) if _is_opaque(leaf) else known(leaf)
        for v in program.inputs:
            self._values[v] = unknown(program.shapes[v], program.dtypes[v])
        self._run(program.equations, forget=True)
        self._values.clear()

    def at(self, equation: Equation) -> list[Abstract]:
        """What is known of the operands of a site."""
        return self._at[id(equation)]

    def _value(self, variable: int) -> Abstract:
        if variable not in self._values:
            constant = self._program.constants[variable]
            dtype = self._program.dtypes[variable]
            if _is_opaque(constant):
                return unknown(self._program.shapes[variable], None)
            self._values[variable] = known(np.asarray(constant, dtype))
        return self._values[variable]

    def _run(self, equations: Sequence[Equation], forget: bool = False) -> None:
        last = {v: i for i, equation in enumerate(equations) for v in equation.inputs} if forget else {}
        for i, equation in enumerate(equations):
            operands = [self._value(v) for v in equation.inputs]
            if id(equation) in self._sites:
                self._at[id(equation)] = operands
            results = self._scan(equation, operands) if equation.body else self._apply(equation, operands)
            self._values.update(zip(equation.outputs, results, strict=True))
            for v in equation.inputs:
                if last.get(v) == i:
                    self._values.pop(v, None)

    def _apply(self, equation: Equation, operands: list[Abstract]) -> list[Abstract]:
        shapes = [self._program.shapes[v] for v in equation.inputs]
        out = [self._program.shapes[v] for v in equation.outputs]
        rule = RULES.get(equation.name)
        if rule is not None:
            results = rule(equation, operands, shapes, out)
            return [self._typed(v, x) for v, x in zip(equation.outputs, results, strict=True)]
        if operands and all(x.is_known for x in operands):
            full = [np.broadcast_to(x.value, shape) for x, shape in zip(operands, shapes, strict=True)]
            return [known(y) for y in known_layout.computed(equation, full)]
        return [unknown(self._program.shapes[v], self._program.dtypes[v]) for v in equation.outputs]

    def _typed(self, variable: int, x: Abstract) -> Abstract:
        """Rules need not care for the dtype of what is unknown or 0."""
        dtype = numpy_dtype(self._program.dtypes[variable])
        if x.is_unknown:
            return unknown(self._program.shapes[variable], dtype)
        return x if x.value.dtype == dtype else Abstract(x.value.astype(dtype), x.unknown)

    def _scan(self, equation: Equation, operands: list[Abstract]) -> list[Abstract]:
        """Of what is carried, that is known which is the same before and after every step."""
        body = equation.body
        assert body is not None
        constants, carried = body.constants, body.constants + body.carried
        stacked = [known_sums.same_along(x, [0]).map(lambda a: a[0]) for x in operands[carried:]]
        carry = operands[constants:carried]
        while True:
            inputs = [*operands[:constants], *carry, *stacked]
            self._values.update(zip(body.inputs, inputs, strict=True))
            self._run(body.equations)
            results = [self._value(v) for v in body.outputs]
            joined = [_join(a, b) for a, b in zip(carry, results, strict=False)]
            if all(_as_unknown(a, b) for a, b in zip(carry, joined, strict=True)):
                break
            carry = joined
        return [*carry, *(y.map(lambda a: a[None]) for y in results[len(carry) :])]


def _join(a: Abstract, b: Abstract) -> Abstract:
    """What is known of an array that is either."""
    return masked(a.value, a.unknown | b.unknown | (a.value != b.value)).compressed()


def _as_unknown(a: Abstract, b: Abstract) -> bool:
    return not (a.unknown ^ b.unknown).any()


def _is_opaque(array: Any) -> bool:
    """Keys have no value that could be looked at."""
    return not isinstance(getattr(array, "dtype", np.dtype(float)), np.dtype)
