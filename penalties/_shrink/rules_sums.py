"""Couplings of primitives that combine the elements along an axis."""

from typing import TYPE_CHECKING

from penalties._shrink.rules_layout import Axes, align

if TYPE_CHECKING:
    from penalties._shrink.coupling import Coupling
    from penalties._shrink.program import Equation


def dot_general(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    a, b = operands[:2]
    for i, j in zip((*left, *left_batch), (*right, *right_batch), strict=True):
        coupling.labels.unite(a[i], b[j])
    coupling.sum(equation, left, right)
    free_a = [i for i in range(len(a)) if i not in (*left, *left_batch)]
    free_b = [j for j in range(len(b)) if j not in (*right, *right_batch)]
    coupling.make(equation.inputs[0], free_a)
    coupling.make(equation.inputs[1], free_b)
    return [[a[i] for i in (*left_batch, *free_a)] + [b[j] for j in free_b]]


def convolution(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    p, space = equation.params, "a convolution's space"
    x, kernel = operands[:2]
    d, groups = p["dimension_numbers"], p["feature_group_count"]
    shape = coupling.shape(equation.outputs[0])
    coupling.pin([x[k] for k in d.lhs_spec[2:]] + [kernel[k] for k in d.rhs_spec[2:]], space)
    channels, out, in_ = x[d.lhs_spec[1]], kernel[d.rhs_spec[0]], kernel[d.rhs_spec[1]]
    if p["batch_group_count"] != 1:
        coupling.pin([*x, *kernel], "a convolution with groups of the batch")
        return [[coupling.labels.pinned(n, "a convolution with groups of the batch") for n in shape]]
    coupling.make(equation.inputs[1], d.rhs_spec[:1])
    if groups == 1:
        coupling.labels.unite(channels, in_)
        coupling.sum(equation, (d.lhs_spec[1],), (d.rhs_spec[1],))
    else:  # a group is one unit: its channels and its features
        coupling.pin([in_], "within a group of a convolution")
        whole = channels.reshape(groups, -1)
        coupling.labels.unite(whole, whole[:, :1])
        coupling.labels.unite(out.reshape(groups, -1), whole[:, :1])
    result = [coupling.labels.pinned(n, space) for n in shape]
    result[d.out_spec[0]], result[d.out_spec[1]] = x[d.lhs_spec[0]], out
    return [result]


def reduce_sum(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    axes = equation.params["axes"]
    coupling.sum(equation, axes)
    return [[axis for k, axis in enumerate(operands[0]) if k not in axes]]


def reduce_other(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """A maximum or a product notices a 0 that is gone."""
    axes = equation.params["axes"]
    coupling.pin([operands[0][k] for k in axes], f"reduced by {equation.name}")
    return [[axis for k, axis in enumerate(operands[0]) if k not in axes]]


def along(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    coupling.pin([operands[0][equation.params["axis"]]], f"the axis of {equation.name}")
    return operands


def sort(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    result = align(coupling, coupling.shape(equation.outputs[0]), operands)
    coupling.pin([result[equation.params["dimension"]]], "the axis of sort")
    return [result] * len(equation.outputs)


def window(coupling: "Coupling", equation: "Equation", operands: list[Axes]) -> list[Axes]:
    """Axes that the window does not extend over pass; `reduce_window` has operands and initial values."""
    p, results = equation.params, []
    n = len(equation.outputs)
    arrays = [axes for axes in operands if axes]
    shape = coupling.shape(equation.outputs[0])
    passes = [
        p["window_dimensions"][k] == p["window_strides"][k] == 1
        and tuple(p["padding"][k]) == (0, 0)
        and p["base_dilation"][k] == 1
        for k in range(len(shape))
    ]
    aligned = align(coupling, coupling.shape(equation.inputs[0]), arrays)
    coupling.pin([axis for axis, pass_ in zip(aligned, passes, strict=True) if not pass_], "a pooling window")
    for axis, pass_, length in zip(aligned, passes, shape, strict=True):
        results.append(axis if pass_ else coupling.labels.pinned(length, "a pooling window"))
    return [results] * n
