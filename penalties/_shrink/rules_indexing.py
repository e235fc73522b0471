"""Couplings of primitives that read by index, and of scan."""

from typing import TYPE_CHECKING

from penalties._shrink.rules_layout import Axes

if TYPE_CHECKING:
    from penalties._shrink.coupling import Coupling
    from penalties._shrink.program import Equation

INDEXED = "read by index"


def gather(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """Axes that are taken whole pass; the indices are numbers of positions and stay."""
    p, array = equation.params, operands[0]
    result = [coupling.labels.pinned(n, INDEXED) for n in coupling.shape(equation.outputs[0])]
    passing = whole_axes(p, [len(axis) for axis in array])
    for k, axis in enumerate(array):
        if k in passing:
            result[passing[k]] = axis
        else:
            coupling.pin([axis], INDEXED)
    coupling.pin(operands[1], INDEXED)
    coupling.make(equation.inputs[0], passing)
    return [result]


def whole_axes(params: dict, shape: list[int]) -> dict[int, int]:
    """The axes that a gather takes whole, and where each is in the result."""
    d = params["dimension_numbers"]
    offset = [k for k in range(len(shape)) if k not in (*d.collapsed_slice_dims, *d.operand_batching_dims)]
    return {
        k: d.offset_dims[place]
        for place, k in enumerate(offset)
        if shape[k] == params["slice_sizes"][k] and k not in d.start_index_map
    }


def dynamic_slice(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    result = []
    for axis, n in zip(operands[0], coupling.shape(equation.outputs[0]), strict=True):
        if len(axis) == n:
            result.append(axis)
        else:
            coupling.pin([axis], INDEXED)
            result.append(coupling.labels.pinned(n, INDEXED))
    return [result]


def dynamic_update_slice(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    for axis, part in zip(operands[0], operands[1], strict=True):
        if len(axis) == len(part):
            coupling.labels.unite(axis, part)
        else:
            coupling.pin([axis, part], INDEXED)
    return [operands[0]]


def scan(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """What is carried out of a step is carried into the next; the axis of the steps stays."""
    body = equation.body
    if body is None:
        raise AssertionError("a scan has a body")
    constants, carried = body.constants, body.constants + body.carried
    for i, (v, axes, whole) in enumerate(zip(body.inputs, operands, equation.inputs, strict=True)):
        if i >= carried:
            coupling.pin(axes[:1], "the axis of scan")
        coupling.set(v, axes[1:] if i >= carried else axes, like=whole)
    coupling.visit(body.equations)
    results = [coupling.axes(v) for v in body.outputs]
    for before, after in zip(operands[constants:carried], results, strict=False):
        for a, b in zip(before, after, strict=True):
            coupling.labels.unite(a, b)
    carry, stacked = results[: carried - constants], results[carried - constants :]
    length = equation.params["length"]
    return carry + [[coupling.labels.pinned(length, "the axis of scan"), *axes] for axes in stacked]
