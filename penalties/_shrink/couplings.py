"""Which axes of a network's params belong together: `couplings`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from penalties._shrink.coupling import Coupling
from penalties._shrink.networks import Network
from penalties._shrink.program import Program
from penalties._shrink.units import Units, units_of
from penalties._tables import Tabular
from penalties._tree.types import Params


def couplings(fn: Any, params: Params, *inputs: Params) -> "Couplings":
    """Which axes of the params belong together: the units of a network that can only go together.

    Found from the trace of the function, with no table of layers: positions of axes that are added,
    multiplied, normalised or contracted with each other are one unit. A channel of a convolution takes
    along its bias, the scale and shift of its norm, and its rows in the next kernel; one of a residual
    stream all that is added to the stream.

    Args:
        fn: a function of params and inputs, such as Linen's `model.apply`. A Flax NNX, Equinox or Keras
            model can stand in its place, and holds its params: `couplings(model, x)`.
        params: any pytree of arrays; only shapes and dtypes matter.
        *inputs: arrays, or `jax.ShapeDtypeStruct`s.

    Returns:
        A sequence of classes of units, each with its leaves and axes, which prints as a table; and
        in `pinned` what cannot go, with the reasons.

    Raises:
        ValueError: the function has side effects, or draws random numbers as in training; whatever
            the function itself raises for these params and inputs.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import couplings
    >>> def network(params, x):
    ...     return jax.nn.relu(x @ params["w"] + params["b"]) @ params["v"]
    >>> params = {"w": jnp.ones((3, 8)), "b": jnp.ones(8), "v": jnp.ones((8, 2))}
    >>> print(couplings(network, params, jnp.ones((5, 3))))
    class     units  leaf  axis
    ------------------------------------------
    w axis 1      8  b     0 of 8
                     v     0 of 8, summed over
                     w     1 of 8
    pinned           v     1 of 2: an output
                     w     0 of 3: an input
    """
    network = Network(fn, params, inputs)
    coupling = Coupling(Program(network.function, network.leaves, network.inputs))
    return described(coupling, units_of(coupling), network)


@final
@dataclass(frozen=True, eq=False)
class CoupledAxis:
    """One axis of a leaf that the units of a class are on.

    Attributes:
        path: of the leaf.
        axis: its number.
        length: of the axis.
        positions: int array (units, n): where each unit is on the axis; n is more than 1 where an
            axis was merged from several, as by a flatten.
        summed: whether the axis is summed over where the leaf is used: the leaf reads the units.
        makes: whether the units come out of the leaf; a tied embedding makes and reads them.
        trained: whether the leaf is trained, and no statistic of a norm.

    >>> import jax.numpy as jnp
    >>> from penalties import couplings
    >>> params = [jnp.ones((2, 4)), jnp.ones((4, 3))]
    >>> found = couplings(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 2)))
    >>> [(axis.path, axis.axis, axis.length, axis.makes) for axis in found[0].axes]
    [('0', 1, 4, True), ('1', 0, 4, False)]
    """

    path: str
    axis: int
    length: int
    positions: np.ndarray
    summed: bool
    makes: bool
    trained: bool


@final
@dataclass(frozen=True, eq=False)
class CoupledUnits:
    """A class of units: what each of them takes along lies on the same axes.

    Attributes:
        name: the first leaf and axis that make the units.
        units: how many there are.
        axes: the axes that they are on.

    >>> import jax.numpy as jnp
    >>> from penalties import couplings
    >>> params = [jnp.ones((2, 4)), jnp.ones((4, 3))]
    >>> found = couplings(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 2)))
    >>> found[0].name, found[0].units
    ('0 axis 1', 4)
    """

    name: str
    units: int
    axes: tuple[CoupledAxis, ...]


@final
@dataclass(frozen=True)
class PinnedAxis:
    """An axis of a leaf of which some positions cannot go, and why.

    >>> import jax.numpy as jnp
    >>> from penalties import couplings
    >>> params = [jnp.ones((2, 4)), jnp.ones((4, 3))]
    >>> found = couplings(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 2)))
    >>> found.pinned[0]
    PinnedAxis(path='0', axis=0, length=2, why='an input')
    """

    path: str
    axis: int
    length: int
    why: str


@final
@dataclass(frozen=True, eq=False, repr=False)
class Couplings(Tabular, Sequence[CoupledUnits]):
    """What `couplings` returns: classes of units, and in `pinned` the axes that stay as they are.

    >>> import jax.numpy as jnp
    >>> from penalties import couplings
    >>> params = [jnp.ones((2, 4)), jnp.ones((4, 3))]
    >>> found = couplings(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 2)))
    >>> [(c.name, c.units, [axis.path for axis in c.axes]) for c in found]
    [('0 axis 1', 4, ['0', '1'])]
    """

    classes: tuple[CoupledUnits, ...]
    pinned: tuple[PinnedAxis, ...]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            for found in self.classes:
                if found.name == index:
                    return found
            raise KeyError(f"no class {index!r}; there are {[c.name for c in self.classes]}")
        return self.classes[index]

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[CoupledUnits]:
        return iter(self.classes)

    def _table_columns(self) -> Sequence[str]:
        return ("class", ":units", "leaf", "axis")

    def _table_rows(self) -> Iterator[tuple[str, ...]]:
        for found in self.classes:
            first = (found.name, f"{found.units:,}")
            for axis in found.axes:
                each = axis.positions.shape[1]
                many = f", {each} positions each" if each > 1 else ""
                read = ", summed over" if axis.summed else ""
                yield *first, axis.path, f"{axis.axis} of {axis.length}{many}{read}"
                first = ("", "")
        for i, axis in enumerate(self.pinned):
            title = "" if i else "pinned"
            yield title, "", axis.path, f"{axis.axis} of {axis.length}: {axis.why}"


def described(coupling: Coupling, units: Units, network: Network) -> Couplings:
    """The classes of units with the paths of their leaves."""
    found: list[CoupledUnits] = []
    paths = network.paths
    taken: set[str] = set()
    for c in range(units.count):
        axes = _axes_of(coupling, units, network, c)
        makers = [axis for axis in axes if is_made(coupling, paths.index(axis.path), axis.axis)]
        first = [*makers, *(axis for axis in axes if axis.makes), *axes][0]
        name = f"{first.path} axis {first.axis}"
        while name in taken:  # heads and their dims may share a flat axis
            name += "'"
        taken.add(name)
        found.append(CoupledUnits(name, int((units.classes == c).sum()), axes))
    return Couplings(tuple(found), _pinned(coupling, paths))


def _axes_of(coupling: Coupling, units: Units, network: Network, c: int) -> tuple[CoupledAxis, ...]:
    rows = np.flatnonzero(units.classes[units.unit] == c)
    axes = []
    for leaf, axis in np.unique(np.stack([units.leaf[rows], units.axis[rows]], 1), axis=0):
        mine = rows[(units.leaf[rows] == leaf) & (units.axis[rows] == axis)]
        order = np.lexsort((units.position[mine], units.unit[mine]))
        positions = units.position[mine][order].reshape(len(np.unique(units.unit[mine])), -1)
        length = coupling.shape(coupling.program.leaves[leaf])[axis]
        summed = is_summed(coupling, leaf, axis)
        makes = not summed or is_made(coupling, leaf, axis)
        path, trained = network.paths[leaf], network.trained[leaf]
        axes.append(CoupledAxis(path, int(axis), length, positions, summed, makes, trained))
    return tuple(axes)


def is_summed(coupling: Coupling, leaf: int, axis: int) -> bool:
    """Whether this axis is summed over where the leaf is read, by its labels: a square kernel has both."""
    mine = coupling.axes(coupling.program.leaves[leaf])[axis]
    return any(n == leaf and np.isin(labels, mine).any() for n, labels in coupling.reads)


def is_made(coupling: Coupling, leaf: int, axis: int) -> bool:
    """Whether this axis gives the features of a result: of a product, or of what is read by index."""
    mine = coupling.axes(coupling.program.leaves[leaf])[axis]
    return any(np.isin(labels, mine).any() for made in coupling.made.get(leaf, []) for labels in made)


def _pinned(coupling: Coupling, paths: Sequence[str]) -> tuple[PinnedAxis, ...]:
    found = []
    for path, v in zip(paths, coupling.program.leaves, strict=True):
        for k, labels in enumerate(coupling.axes(v)):
            if len(labels) > 1 and coupling.program.is_weight(v):
                _, base = coupling.labels.bases(coupling.labels.find(labels))
                pinned = base[coupling.labels.is_pinned(base)]
                if pinned.size:
                    found.append(PinnedAxis(path, k, len(labels), coupling.labels.reason(int(pinned[0]))))
    return tuple(found)
