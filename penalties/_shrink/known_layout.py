"""What is known of rearranged, repeated and combined elements.

A rule takes the equation, its operands and the full shapes of operands and results. It may say less
than is true, and never more, as long as all values of the function are finite.
"""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from penalties._shrink.abstract import Abstract, masked, unknown
from penalties._shrink.numpy_rules import in_numpy
from penalties._shrink.program import Equation
from penalties._shrink.rules_layout import factors, other_order

Shape = Sequence[int]
Shapes = Sequence[Shape]


def computed(equation: Equation, operands: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The primitive on these values, wherever this is called from."""
    with jax.ensure_compile_time_eval():
        return [np.asarray(x) for x in equation.bind(*operands)]


def elementwise(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    rank = len(out[0])
    operands = [x if x.value.ndim == rank else x.map(lambda a: a.reshape((1,) * rank)) for x in operands]
    mark = np.zeros((1,) * rank, bool)
    for x in operands:
        mark = mark | x.unknown
    zero = _zero_factor(equation.name, operands)
    if zero is not None:
        mark = mark & ~zero
    if equation.name == "select_n":
        mark = _unknown_choice(operands)
    if mark.all():
        return [unknown(out[0], operands[-1].value.dtype)]
    if zero is not None and not (~zero & ~mark).any():
        value = np.zeros((1,) * rank, operands[-1].value.dtype)
    else:
        values = np.broadcast_arrays(*(x.value for x in operands))
        value = in_numpy(equation, values)
        value = computed(equation, values)[0] if value is None else np.asarray(value)
    if zero is not None:
        value = np.where(zero, np.zeros((), value.dtype), value)
    return [masked(value, mark)]


def _zero_factor(name: str, operands: list[Abstract]) -> np.ndarray | None:
    """Where a product is 0 for one factor is: the other is unknown, or not infinite."""
    if name not in ("mul", "div", "and"):
        return None
    zero = np.zeros((1,) * operands[0].value.ndim, bool)
    for x, other in zip(operands, operands[::-1], strict=True):
        if x.value.dtype == bool or name == "and":
            zero = zero | (~x.unknown & (x.value == 0))
        else:
            zero = zero | (~x.unknown & (x.value == 0) & np.isfinite(other.value))
        if name == "div":
            break
    return zero


def _unknown_choice(operands: list[Abstract]) -> np.ndarray:
    """Where the chosen case is unknown; all are if they differ and the choice is."""
    which, cases = operands[0], operands[1:]
    any_unknown, differs = cases[0].unknown, np.zeros_like(cases[0].unknown)
    for x in cases[1:]:
        any_unknown = any_unknown | x.unknown
        differs = differs | (x.value != cases[0].value)
    chosen = np.zeros_like(which.unknown)
    for i, x in enumerate(cases):
        chosen = chosen | ((which.value == i) & x.unknown)
    return np.where(which.unknown, any_unknown | differs, chosen)


def unchanged(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    return operands


def transpose(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    return [operands[0].map(lambda a: a.transpose(equation.params["permutation"]))]


def reshape(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    """Axes that stay alone stay compressed, and so do those that are merged or split if all are."""
    (x,), (old,), (new,) = operands, shapes, out
    if 0 in old or other_order(equation):
        return [unknown(new, x.value.dtype)]

    def apply(a: np.ndarray) -> np.ndarray:
        target, full = [1] * len(new), list(a.shape)
        for before, after in factors(list(old), list(new)):
            if any(a.shape[i] > 1 for i in before):
                for i in before:
                    full[i] = old[i]
                for j in after:
                    target[j] = new[j]
        return np.broadcast_to(a, full).reshape(target)

    return [x.map(apply)]


def broadcast_in_dim(
    equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes
) -> list[Abstract]:
    places = equation.params["broadcast_dimensions"]

    def apply(a: np.ndarray) -> np.ndarray:
        shape = [1] * len(out[0])
        for n, k in zip(a.shape, places, strict=True):
            shape[k] = n
        return a.reshape(shape)

    return [operands[0].map(apply)]


def tile(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    reps = equation.params["reps"]
    return [
        operands[0].map(lambda a: np.tile(a, [r if n > 1 else 1 for n, r in zip(a.shape, reps, strict=True)]))
    ]


def iota(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    k = equation.params["dimension"]
    shape = [n if j == k else 1 for j, n in enumerate(out[0])]
    value = np.arange(out[0][k]).astype(equation.params["dtype"]).reshape(shape)
    return [Abstract(value, np.zeros((1,) * len(shape), bool))]


def slice_(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    p = equation.params
    strides = p["strides"] or (1,) * len(shapes[0])
    cuts = [slice(*cut) for cut in zip(p["start_indices"], p["limit_indices"], strides, strict=True)]
    return [
        operands[0].map(
            lambda a: a[tuple(c if n > 1 else slice(None) for n, c in zip(a.shape, cuts, strict=True))]
        )
    ]


def split(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    k = equation.params["axis"]
    ends = np.cumsum([0, *equation.params["sizes"]])
    parts = []
    for start, stop in itertools.pairwise(ends):

        def part(a: np.ndarray, start=start, stop=stop) -> np.ndarray:
            return a if a.shape[k] == 1 else a[(slice(None),) * k + (slice(start, stop),)]

        parts.append(operands[0].map(part))
    return parts


def joined(operands: list[Abstract], shapes: Shapes, k: int) -> Abstract:
    parts = [x.along([k], shape) for x, shape in zip(operands, shapes, strict=True)]

    def join(arrays: list[np.ndarray]) -> np.ndarray:
        rest = np.broadcast_shapes(*((*a.shape[:k], 1, *a.shape[k + 1 :]) for a in arrays))
        return np.concatenate(
            [np.broadcast_to(a, (*rest[:k], a.shape[k], *rest[k + 1 :])) for a in arrays], axis=k
        )

    return Abstract(join([x.value for x in parts]), join([x.unknown for x in parts])).compressed()


def concatenate(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    return [joined(operands, shapes, equation.params["dimension"])]


def stack(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    k = equation.params["axis"]
    expanded = [x.map(lambda a: np.expand_dims(a, k)) for x in operands]
    ones = [(*s[:k], 1, *s[k:]) for s in shapes]
    return [joined(expanded, ones, k)]


def unstack(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    k = equation.params["axis"]
    full = operands[0].along([k], shapes[0])
    return [full.map(lambda a, i=i: a.take(i, k)) for i in range(len(out))]


def pad(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    x, filling = operands
    config = equation.params["padding_config"]
    padded = [k for k, c in enumerate(config) if tuple(c) != (0, 0, 0)]
    if filling.is_unknown or any(min(c[:2]) < 0 or c[2] for c in config):
        return [unknown(out[0], x.value.dtype)]
    x = x.along(padded, shapes[0])

    def widths(a: np.ndarray) -> list[tuple[int, int]]:
        return [(c[0], c[1]) for c in config]

    value = np.pad(x.value, widths(x.value), constant_values=filling.value.item())
    return [Abstract(value, np.pad(x.unknown, widths(x.unknown))).compressed()]


def rev(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    return [operands[0].map(lambda a: np.flip(a, equation.params["dimensions"]))]
