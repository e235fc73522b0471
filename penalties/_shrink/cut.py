"""A program evaluated at the shapes that are left when some units are gone."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from penalties._shrink.coupling import Coupling
from penalties._shrink.program import Equation
from penalties._shrink.rules_layout import Axes

Shape = tuple[int, ...]
Changed = Callable[["Cut", Equation], dict[str, Any]]


class Cut:
    """The smaller program: `keep` says for each root whether its positions stay."""

    def __init__(self, coupling: Coupling, keep: np.ndarray):
        self._coupling, self._keep, self._program = coupling, keep, coupling.program

    def stays(self, variable: int) -> list[np.ndarray]:
        """For each axis of a variable, which positions stay."""
        return [self._keep[roots] for roots in self._coupling.roots(variable)]

    def before(self, variable: int) -> Shape:
        """The shape of a variable in the large program."""
        return self._program.shapes[variable]

    def shape(self, variable: int) -> Shape:
        """The shape of a variable in the small program."""
        return tuple(int(stay.sum()) for stay in self.stays(variable))

    def __call__(self, leaves: Sequence[Any], inputs: Sequence[Any]) -> Any:
        values = dict(zip(self._program.leaves + self._program.inputs, [*leaves, *inputs], strict=True))
        self._run(self._program.equations, values)
        results = [self._value(v, values) for v in self._program.outputs]
        return jax.tree.unflatten(self._program.treedef, results)

    def _value(self, variable: int, values: dict[int, Any]) -> Any:
        if variable not in values:
            values[variable] = take(self._program.constants[variable], self.stays(variable))
        return values[variable]

    def _run(self, equations: Sequence[Equation], values: dict[int, Any]) -> None:
        for equation in equations:
            operands = [self._value(v, values) for v in equation.inputs]
            if equation.name == "scan":
                results = self._scan(equation, operands, values)
            elif equation.is_relu:
                results = [jax.nn.relu(operands[0])]
            elif equation.name == "slice":
                results = [self._slice(equation, operands[0])]
            else:
                changed = CHANGED.get(equation.name, _nothing)(self, equation)
                results = equation.bind(*operands, **changed)
            values.update(zip(equation.outputs, results, strict=True))

    def _slice(self, equation: Equation, x: Any) -> Any:
        """Positions that are read, of those that stay; a slice where they follow each other."""
        p = equation.params
        strides = p["strides"] or (1,) * len(x.shape)
        start, stop, step = [], [], []
        axes = zip(
            self.stays(equation.inputs[0]), p["start_indices"], p["limit_indices"], strides, strict=True
        )
        for k, (stay, first, last, stride) in enumerate(axes):
            read = np.zeros(len(stay), bool)
            read[first:last:stride] = True
            if stay.all():
                start, stop, step = [*start, first], [*stop, last], [*step, stride]
                continue
            left = np.flatnonzero(read[stay])
            if not left.size:
                start, stop, step = [*start, 0], [*stop, 0], [*step, 1]
                continue
            gaps = np.unique(np.diff(left))
            if gaps.size > 1:
                x = jnp.take(x, left, axis=k)
                left, gaps = np.arange(len(left)), np.ones(1, int)
            start.append(int(left[0]))
            stop.append(int(left[-1]) + 1)
            step.append(int(gaps[0]) if gaps.size else 1)
        return jax.lax.slice(x, start, stop, None if p["strides"] is None and max(step) == 1 else step)

    def _scan(self, equation: Equation, operands: list[Any], values: dict[int, Any]) -> list[Any]:
        body, p = equation.body, equation.params
        assert body is not None
        constants, carried = body.constants, body.constants + body.carried

        def step(carry: list[Any], stacked: list[Any]) -> tuple[list[Any], list[Any]]:
            inner = dict(values)
            inner.update(zip(body.inputs, [*operands[:constants], *carry, *stacked], strict=True))
            self._run(body.equations, inner)
            results = [self._value(v, inner) for v in body.outputs]
            return results[: len(carry)], results[len(carry) :]

        carry, stacked = jax.lax.scan(
            step,
            operands[constants:carried],
            operands[carried:],
            length=p["length"],
            reverse=p["reverse"],
            unroll=p["unroll"],
        )
        return [*carry, *stacked]


def take(array: Any, stays: Axes) -> Any:
    """The positions of an array that stay."""
    for k, stay in enumerate(stays):
        if not stay.all():
            at = np.flatnonzero(stay)
            array = array.take(at, k) if isinstance(array, np.ndarray) else jnp.take(array, at, axis=k)
    return array


# What the params of an equation say about shapes.


def _nothing(cut: Cut, equation: Equation) -> dict[str, Any]:
    return {}


def _shape(name: str) -> Changed:
    return lambda cut, equation: {name: cut.shape(equation.outputs[0])}


def _split(cut: Cut, equation: Equation) -> dict[str, Any]:
    return {"sizes": tuple(cut.shape(v)[equation.params["axis"]] for v in equation.outputs)}


def _gather(cut: Cut, equation: Equation) -> dict[str, Any]:
    old, new = cut.before(equation.inputs[0]), cut.shape(equation.inputs[0])
    sizes = zip(equation.params["slice_sizes"], old, new, strict=True)
    return {"slice_sizes": tuple(m if size == n else size for size, n, m in sizes)}


def _convolution(cut: Cut, equation: Equation) -> dict[str, Any]:
    p, (x, kernel) = equation.params, equation.inputs
    if p["feature_group_count"] == 1:
        return {}
    d = p["dimension_numbers"]
    each = cut.before(kernel)[d.rhs_spec[1]]
    return {"feature_group_count": cut.shape(x)[d.lhs_spec[1]] // each}


CHANGED: dict[str, Changed] = {
    "reshape": _shape("new_sizes"),
    "broadcast_in_dim": _shape("shape"),
    "iota": _shape("shape"),
    "dynamic_slice": _shape("slice_sizes"),
    "split": _split,
    "gather": _gather,
    "conv_general_dilated": _convolution,
}
