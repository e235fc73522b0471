"""Coupled: a penalty of the units of a network, with all weights that make them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import numpy as np
from jax import Array

from penalties._family.group_rule import (
    prox_of_groups,
    settling_groups,
    subgradient_of_groups,
    value_of_groups,
)
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import nested, remade, static
from penalties._penalty.joint import JointPenalty
from penalties._penalty.rule import Average
from penalties._penalty.sizes import SizePenalty
from penalties._shrink.couplings import CoupledUnits
from penalties._shrink.unit_groups import (
    AcrossLeaves,
    Makers,
    UnitGroups,
    across_leaves,
    check_apart,
    connected,
    groups_of,
    kept_of,
)
from penalties._tree.paths import Leaf


@final
class Coupled(JointPenalty):
    """A penalty on whole units of a network, Σ_u |u|·φ(‖w_u‖₂/√|u|): all weights that make one go together.

    The weights w_u of a unit are those of all leaves that produce it, found by `couplings`: its column of a
    kernel, its bias, the scale and shift of its norm, and of a unit of a residual stream all that is added to
    the stream. Under `penalized` they become exactly zero together, so that `shrink` can take the unit out.
    With what reads a unit, the next kernel, groups would overlap and have no prox: it is left out.

    Args:
        penalty: φ, one of sizes: L1 (the group lasso), MCP, LogSum, ElasticNet, or your own; its strength is
            one number. For several strengths add several, each with classes of its own.
        units: what `couplings` returned, or some of its classes.

    `.on(...)` leaves weights out of the groups. On the leaves of units there can be L1 and the like as well,
    as in `Coupled(L1(1e-3), units) + L1(1e-4)`.

    Raises:
        TypeError: the penalty is not one of sizes, or the units are no classes of units.
        ValueError: no trained leaf makes a unit, or two units have weights in common, as heads and what is
            within them have. In use: params lack one of the leaves, or it has another shape.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import L1, Coupled, couplings
    >>> def network(params, x):
    ...     return jax.nn.relu(x @ params["w"] + params["b"]) @ params["v"]
    >>> params = {"w": jnp.array([[2.0, 0.0], [1.0, 0.5]]), "b": jnp.array([2.0, 0.0]), "v": jnp.ones((2, 1))}
    >>> penalty = Coupled(L1(1.0), couplings(network, params, jnp.ones((1, 2))))
    >>> round(float(penalty(params)), 4)  # √3 · (3 + 0.5)
    6.0622
    >>> print(penalty.prox(params)["w"].round(3))  # the second unit is dead
    [[0.845 0.   ]
     [0.423 0.   ]]

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables, JRSS B 68
    (2006). Groups across layers: Fang et al., DepGraph: Towards any structural pruning, CVPR 2023; Chen et
    al., OTOv2: Automatic, generic, user-friendly, ICLR 2023.
    """

    monotone = True

    penalty: SizePenalty = nested()
    units: Any = static()

    def __post_init__(self):
        if not isinstance(self.penalty, SizePenalty):
            raise TypeError(
                f"Coupled got {self.penalty!r} of type {type(self.penalty).__name__}: expected one penalty "
                "of sizes, such as L1(0.1) or MCP(0.1)"
            )
        object.__setattr__(self, "units", _as_groups(self.units))
        check_apart(self.units)
        super().__post_init__()

    @property
    def kink(self) -> bool:
        """Whether φ has one."""
        return self.penalty.kink

    @property
    def order(self) -> Order:
        """Where it stands in the prox of a sum."""
        order = self.penalty.order
        return Order.GROUPWISE if order == Order.ABSOLUTE else order

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(makers.path for units in self.units for makers in units.makers))

    def parts(self) -> tuple[Penalty, ...]:
        return tuple(remade(self, penalty=part) for part in self.penalty.parts())

    def value_at(self, w: Any) -> Array:
        return value_of_groups(self._groups_in(w), self.penalty, w)

    def prox_at(self, v: Any, step: Array) -> Any:
        return prox_of_groups(self._groups_in(v), self.penalty, v, step)

    def subgradient_at(self, w: Any, gradient: Any, average: Any) -> Any:
        return subgradient_of_groups(self._groups_in(w), self.penalty, w, gradient, average)

    def settles_at(self, w: Any, moved: Any, direction: Any, average: Average | None) -> Any:
        return settling_groups(self._groups_in(w), self.penalty, w, moved, direction, average)

    def sizes_at(self, w: Any) -> Array:
        """The size of each unit, ‖w_u‖₂/√|u|."""
        return self._groups_in(w).size(w)

    def slopes_at(self, w: Any) -> Array:
        """φ′ of these sizes."""
        return self.penalty.slope_of(self.sizes_at(w))

    def mask_at(self, of_groups: Array, w: Any) -> Any:
        return self._groups_in(w).mask(of_groups, w)

    def _groups_in(self, w: Any) -> AcrossLeaves:
        return across_leaves(self.units, tuple(x.shape for x in w))

    def blocks(
        self, leaves: Sequence[Leaf], chosen: Sequence[int]
    ) -> Iterator[tuple["Coupled", tuple[int, ...]]]:
        here = {leaf.path: leaf for leaf in leaves}
        at = {leaves[i].path: i for i in chosen}
        left = []
        for units in self.units:
            for makers in units.makers:
                _check_leaf(units, makers, here)
            makers = tuple(makers for makers in units.makers if makers.path in at)
            if makers:
                left.append(units._replace(makers=makers))
        for block in connected(left):
            paths = list(dict.fromkeys(makers.path for units in block for makers in units.makers))
            # By number and not by path or name: layers alike are traced and compiled once.
            number = {path: str(i) for i, path in enumerate(paths)}
            yield remade(self, units=_renamed(block, number)), tuple(at[path] for path in paths)

    def kept(self, stays: Callable[[str], Sequence[np.ndarray]]) -> "Coupled":
        """The same penalty of the units that stay in a smaller network; see `kept_of`."""
        units = tuple(kept_of(each, stays) for each in self.units)
        return remade(self, units=tuple(each for each in units if each.units))

    def __repr__(self) -> str:
        units, classes = sum(each.units for each in self.units), len(self.units)
        return f"Coupled({self.penalty!r}, {units:,} units in {classes} class{'es' if classes > 1 else ''})"


def _renamed(classes: Sequence[UnitGroups], paths: dict[str, str]) -> tuple[UnitGroups, ...]:
    return tuple(
        UnitGroups("", units.units, tuple(m._replace(path=paths[m.path]) for m in units.makers))
        for units in classes
    )


def _as_groups(units: Any) -> tuple[UnitGroups, ...]:
    found = [units] if isinstance(units, (CoupledUnits, UnitGroups)) else units
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise TypeError(
            f"the units are {units!r} of type {type(units).__name__}: expected what "
            "`couplings(fn, params, *inputs)` returns, or some of its classes"
        )
    if not found:
        raise ValueError("there are no units: `couplings` prints why axes are pinned")
    return tuple(map(_as_group, found))


def _as_group(found: Any) -> UnitGroups:
    if isinstance(found, CoupledUnits):
        return groups_of(found)
    try:  # of a config, as plain tuples
        name, units, makers = found
        return UnitGroups(name, units, tuple(Makers(*each) for each in makers))
    except (TypeError, ValueError):
        raise TypeError(
            f"one of the units is {found!r} of type {type(found).__name__}: expected a class of units, such "
            "as `couplings(fn, params, *inputs)[0]`"
        ) from None


def _check_leaf(units: UnitGroups, makers: Makers, leaves: dict[str, Leaf]) -> None:
    if makers.path not in leaves:
        raise ValueError(
            f"params have no leaf {makers.path!r}, which makes the units {units.name!r}; they have "
            f"{list(leaves)[:20]}. Find the couplings of the params that are trained"
        )
    shape = leaves[makers.path].value.shape
    if len(shape) <= makers.axis or shape[makers.axis] != makers.length:
        raise ValueError(
            f"the leaf {makers.path!r} has shape {shape}, and axis {makers.axis} had length {makers.length} "
            "when its units were found: call `couplings` with these params, and make the penalty anew"
        )
