"""How many features each layer has: what a module needs that is built small."""

import numpy as np

from penalties._shrink.coupling import Coupling


def sizes_of(
    coupling: Coupling, paths: list[str], shapes: list[tuple[int, ...]]
) -> dict[str, int | tuple[int, ...]]:
    """The features of each layer by its path, when the leaves have these shapes.

    The features of a kernel are the axes that its product keeps, the first one if there are several;
    those of a layer without a kernel, such as a norm, are the axes of its leaves.
    """
    found: dict[str, tuple[int, ...]] = {}
    vectors: dict[str, tuple[int, ...]] = {}
    for n, (path, shape) in enumerate(zip(paths, shapes, strict=True)):
        layer = path.rpartition("/")[0] or path
        axes = _features(coupling, n)
        if axes:
            found.setdefault(layer, tuple(shape[k] for k in axes))
        elif len(shape) == 1:
            vectors.setdefault(layer, shape)
    sizes = {layer: found.get(layer, vectors.get(layer, ())) for layer in [*found, *vectors]}
    return {layer: size[0] if len(size) == 1 else size for layer, size in sizes.items()}


def _features(coupling: Coupling, leaf: int) -> list[int]:
    axes = coupling.axes(coupling.program.leaves[leaf])
    first = coupling.made.get(leaf, [[]])[0]
    return [k for k, mine in enumerate(axes) if any(np.isin(labels, mine).any() for labels in first)]
