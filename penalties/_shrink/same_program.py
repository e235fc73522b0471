"""Whether two functions compute the same, equation by equation: no tolerance, and no inputs."""

from collections.abc import Sequence

import numpy as np

from penalties._shrink.program import Equation, Program


def first_difference(ours: Program, theirs: Program) -> str | None:
    """The first equation of `theirs` that is not that of `ours`, in words; None if there is none."""
    names = dict(zip(ours.leaves + ours.inputs, theirs.leaves + theirs.inputs, strict=True))
    for v, w in names.items():
        if ours.shapes[v] != theirs.shapes[w]:
            return f"an array of shape {theirs.shapes[w]} against {ours.shapes[v]}"
    found = _first_of(ours, theirs, ours.equations, theirs.equations, names)
    if found is None and not all(
        _same(ours, theirs, v, w, names) for v, w in zip(ours.outputs, theirs.outputs, strict=False)
    ):
        return "it returns other results"
    return found


def _first_of(
    ours: Program, theirs: Program, a: Sequence[Equation], b: Sequence[Equation], names: dict[int, int]
) -> str | None:
    for e, f in zip(a, b, strict=False):
        if e.name != f.name:
            return f"{f.name} against {e.name}"
        for v, w in zip(e.inputs, f.inputs, strict=True):
            if not _same(ours, theirs, v, w, names):
                return f"{f.name}: {_shown(theirs, w)} against {_shown(ours, v)}"
        # Of a scan the body is compared below.
        for name in e.params if e.body is None else ("length", "reverse"):
            if str(e.params[name]) != str(f.params.get(name)):
                return f"{f.name}: {name} {f.params.get(name)} against {e.params[name]}"
        names.update(zip(e.outputs, f.outputs, strict=True))
        if e.body is not None and f.body is not None:
            names.update(zip(e.body.inputs, f.body.inputs, strict=True))
            found = _first_of(ours, theirs, e.body.equations, f.body.equations, names)
            if found is not None:
                return found
            for v, w in zip(e.body.outputs, f.body.outputs, strict=True):
                if not _same(ours, theirs, v, w, names):
                    return "scan: a step gives other results"
    return None if len(a) == len(b) else f"{len(b)} equations against {len(a)}"


def _same(ours: Program, theirs: Program, v: int, w: int, names: dict[int, int]) -> bool:
    if v in names:
        return names[v] == w
    if v in ours.constants and w in theirs.constants:
        x, y = np.asarray(ours.constants[v]), np.asarray(theirs.constants[w])
        return x.dtype == y.dtype and np.array_equal(x, y)
    return False


def _shown(program: Program, variable: int) -> str:
    constant = program.constants.get(variable)
    return "a variable" if constant is None else np.array2string(np.asarray(constant), threshold=4)
