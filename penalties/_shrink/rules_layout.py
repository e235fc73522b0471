"""Couplings of primitives that rearrange, repeat or combine elements."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from penalties._shrink.coupling import Coupling
    from penalties._shrink.program import Equation

Axes = list[np.ndarray]  # the labels of each axis of an array


def align(coupling: "Coupling", shape: tuple[int, ...], operands: list[Axes], skip: int = -1) -> Axes:
    """Unites equal positions of the operands' axes; an axis of length 1 broadcasts."""
    result = []
    for k, n in enumerate(shape):
        equal = [axes[k] for axes in operands if len(axes[k]) == n]
        if k != skip:
            for other in equal[1:]:
                coupling.labels.unite(equal[0], other)
        result.append(equal[0] if equal else coupling.labels.fresh(n))
    return result


def elementwise(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    shape = coupling.shape(equation.outputs[0])
    return [align(coupling, shape, [axes for axes in operands if axes])]


def unchanged(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    return operands


def transpose(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    return [[operands[0][k] for k in equation.params["permutation"]]]


def reshape(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """Axes are matched from the left, as few at a time as have equal products."""
    old, new = operands[0], coupling.shape(equation.outputs[0])
    if other_order(equation) or 0 in new:
        why = "reshaped in another order"
        coupling.pin(old, why)
        return [[coupling.labels.pinned(n, why) for n in new]]
    # Axes of length 1 come and go.
    result = [coupling.labels.fresh(1) if n == 1 else None for n in new]
    for before, after in factors([len(axis) for axis in old], list(new)):
        flat = coupling.labels.merge([old[i] for i in before])
        for j, part in zip(after, coupling.labels.split(flat, [new[j] for j in after]), strict=True):
            result[j] = part
    return [result]  # type: ignore


def other_order(equation: "Equation") -> bool:
    """Whether a reshape reads the elements in another order than the rows'."""
    return equation.name == "reshape" and equation.params["dimensions"] is not None


def factors(old: list[int], new: list[int]) -> list[tuple[list[int], list[int]]]:
    """Which axes of one shape are made of which of another, leaving out those of length 1."""
    i_all, j_all = [i for i, n in enumerate(old) if n > 1], [j for j, n in enumerate(new) if n > 1]
    found = []
    while i_all:
        before, after = [i_all.pop(0)], [j_all.pop(0)]
        a, b = old[before[0]], new[after[0]]
        while a != b:
            if a < b:
                before.append(i_all.pop(0))
                a *= old[before[-1]]
            else:
                after.append(j_all.pop(0))
                b *= new[after[-1]]
        found.append((before, after))
    return found


def broadcast_in_dim(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    shape = coupling.shape(equation.outputs[0])
    result = [coupling.labels.fresh(n) for n in shape]
    for axis, k in zip(operands[0], equation.params["broadcast_dimensions"], strict=True):
        if len(axis) == shape[k]:
            result[k] = axis
    return [result]


def tile(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    return [[np.tile(axis, n) for axis, n in zip(operands[0], equation.params["reps"], strict=True)]]


def iota(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """The numbers 0, 1, 2, ... along an axis that is not cut: they would be others."""
    result = [coupling.labels.fresh(n) for n in coupling.shape(equation.outputs[0])]
    coupling.pin([result[equation.params["dimension"]]], "numbered by iota")
    return [result]


def slice_(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    p = equation.params
    strides = p["strides"] or (1,) * len(operands[0])
    parts = zip(operands[0], p["start_indices"], p["limit_indices"], strides, strict=True)
    return [[axis[start:stop:step] for axis, start, stop, step in parts]]


def split(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    k = equation.params["axis"]
    ends = np.cumsum(equation.params["sizes"])[:-1]
    parts = np.split(operands[0][k], ends)
    return [[part if j == k else axis for j, axis in enumerate(operands[0])] for part in parts]


def concatenate(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    k = equation.params["dimension"]
    result = list(operands[0])
    result[k] = np.concatenate([axes[k] for axes in operands])
    for axes in operands[1:]:
        for j, axis in enumerate(axes):
            if j != k:
                coupling.labels.unite(result[j], axis)
    return [result]


def stack(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    k = equation.params["axis"]
    rest = align(coupling, coupling.shape(equation.inputs[0]), operands)
    return [[*rest[:k], coupling.labels.pinned(len(operands), "made by stack"), *rest[k:]]]


def unstack(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    k = equation.params["axis"]
    coupling.pin([operands[0][k]], "taken apart by unstack")
    return [[axis for j, axis in enumerate(operands[0]) if j != k]] * len(equation.outputs)


def pad(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """The padding itself stays; where elements are pushed apart or cut off, nothing may go."""
    result = []
    shape = coupling.shape(equation.outputs[0])
    for n, axis, (low, high, inner) in zip(
        shape, operands[0], equation.params["padding_config"], strict=True
    ):
        if inner or low < 0 or high < 0:
            coupling.pin([axis], "padded within")
            result.append(coupling.labels.pinned(n, "padded within"))
        else:
            ends = [coupling.labels.pinned(m, "padding") for m in (low, high)]
            result.append(np.concatenate([ends[0], axis, ends[1]]))
    return [result]


def rev(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    turned = equation.params["dimensions"]
    return [[axis[::-1] if k in turned else axis for k, axis in enumerate(operands[0])]]
