"""What is penalized, by what, by how much, and how sparse it is: `describe`."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, final

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from penalties._measure.sparsity import count_zeros, is_weight
from penalties._numerics import sum_scalars
from penalties._penalty.base import Penalty, check_penalty
from penalties._penalty.binding import positions, positions_of
from penalties._penalty.constraint import Constraint
from penalties._penalty.evaluation import part_values
from penalties._penalty.fields import Kind, names, number_names, remade
from penalties._penalty.strengths import PerLeaf
from penalties._tables import Tabular
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, NotAnArray, leaves_with_paths
from penalties._tree.types import Params


def describe(penalty: Penalty, params: Params) -> "Description":
    """A table of which leaves are penalized, by what, how strongly, and how many weights are zero.

    Args:
        penalty: any penalty, sum or selection.
        params: any pytree of weights, or a Flax NNX module; boxed or not.

    Returns:
        A mapping from leaf path to a dict of plain Python values, which prints as a table; its
        `total` is penalty(params). What is of several leaves together, as `Coupled`, has its value at the
        first of them. Leaves that are no arrays (functions, strings) are left out.

    Raises:
        TypeError: inside jit, grad or vmap, where there are no numbers to show; and whatever
            penalty(params) raises.
        ValueError: whatever penalty(params) raises: a selection that matches no leaf, for one.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, L2, describe
    >>> params = {"kernel": jnp.array([[3.0, 0.0], [0.0, 1.0]]), "bias": jnp.zeros(2)}
    >>> description = describe((L1(0.5) + L2(0.25)).on("kernel"), params)
    >>> print(description)
    leaf    shape   dtype    penalty             value  share          zeros
    ------------------------------------------------------------------------
    bias    (2,)    float32  none                               2 of 2, 100%
    kernel  (2, 2)  float32  L1(0.5) + L2(0.25)    4.5   100%    2 of 4, 50%
    ------------------------------------------------------------------------
    total                    4 of 6 weights        4.5   100%  4 of 6, 66.7%
    >>> description["kernel"]["zeros"], description.total
    (2, 4.5)
    """
    check_penalty(
        penalty,
        "the penalty in describe(penalty, params)",
        "; of a schedule, describe what it gives at one step",
    )
    with jax.ensure_compile_time_eval():  # params may be constants of a function under jit
        opened = Opened(params)
        tree = opened.tree
        if any(isinstance(x, Tracer) for x in jax.tree.leaves((penalty, tree))):
            raise TypeError(
                "describe shows numbers, and of traced params or strengths there are none yet: call "
                "describe outside jit, grad and vmap; inside, log `penalty(params)` and "
                "`sparsity(params)`"
            )
        values, total, zeros = jax.device_get(_measured(penalty, tree))
    leaves = opened.leaves
    texts, constrained = _texts(penalty, leaves), _constrained(penalty, leaves)
    rows = {
        leaf.path: _row(
            leaf, texts.get(i), float(values.get(i, 0)), float(total), int(zeros.get(i, 0)), i in constrained
        )
        for i, leaf in enumerate(leaves)
        if not isinstance(leaf.value, NotAnArray)
    }
    return Description(rows, float(total))


class Row(TypedDict):
    """One leaf of a `Description`."""

    shape: tuple[int, ...]
    dtype: str
    trainable: bool  # a weight: floating or complex, and no batch statistic, counter or key
    penalty: str | None
    value: float
    violated: bool  # whether the value is infinite for a constraint
    share: float
    zeros: int
    size: int


@final
@dataclass(frozen=True, eq=False, repr=False)
class Description(Tabular, Mapping[str, Row]):
    """What `describe` returns: rows by leaf path, a table when printed or shown in a notebook.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, describe
    >>> description = describe(L1(0.5), {"kernel": jnp.array([3.0, 0.0])})
    >>> description["kernel"]["penalty"], description["kernel"]["value"]
    ('L1(0.5)', 1.5)
    >>> {path: row["zeros"] for path, row in description.items()}
    {'kernel': 1}
    """

    _rows: dict[str, Row]
    total: float  # penalty(params)

    @property
    def size(self) -> int:
        """The number of weights, penalized or not."""
        return sum(row["size"] for row in self._rows.values() if row["trainable"])

    @property
    def zeros(self) -> int:
        """The number of weights that are exactly zero."""
        return sum(row["zeros"] for row in self._rows.values() if row["trainable"])

    @property
    def penalized(self) -> int:
        """The number of weights that are penalized."""
        return sum(row["size"] for row in self._rows.values() if row["penalty"] is not None)

    def __getitem__(self, path: str) -> Row:
        return self._rows[path].copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _table_columns(self) -> tuple[str, ...]:
        return "leaf", "shape", "dtype", "penalty", ":value", ":share", ":zeros"

    def _table_rows(self) -> Iterator[tuple[str, ...]]:
        return (_cells(path, row) for path, row in self._rows.items())

    def _is_faint(self, row: Sequence[str]) -> bool:
        return row[3] in (_NONE, _NOT_TRAINED)

    def _table_foot(self) -> tuple[str, ...]:
        violated = any(row["violated"] for row in self._rows.values())
        return (
            "total",
            "",
            "",
            f"{self.penalized:,} of {self.size:,} weights",
            "violated" if violated else f"{self.total:.4g}",
            "" if violated else _percent(_part(self.total, self.total)),
            _zeros_of(self.zeros, self.size),
        )


@jax.jit
def _measured(penalty: Penalty, tree: Any) -> tuple[dict[int, Array], Array, dict[int, Array]]:
    """The value of each penalized leaf, their sum, and the zeros of each leaf that can have any."""
    leaves = leaves_with_paths(tree)
    # What is of several leaves together stands at the first of them.
    values = {part.at[0]: value for part, value in part_values(penalty, leaves)}
    zeros = {i: count_zeros(leaf.value) for i, leaf in enumerate(leaves) if _is_numeric(leaf)}
    return values, sum_scalars(list(values.values())), zeros


def _is_numeric(leaf: Leaf) -> bool:
    if isinstance(leaf.value, NotAnArray):
        return False
    dtype = leaf.value.dtype
    return jnp.issubdtype(dtype, jnp.number) or dtype == jnp.bool_


def _texts(penalty: Penalty, leaves: Sequence[Leaf]) -> dict[int, str]:
    """What each penalized leaf is penalized by; of the concrete penalty, as jit has only tracers."""
    texts: dict[int, list[str]] = {}
    for atom, selections in penalty.atoms():
        at = _text_for(atom, leaves)
        for i in positions_of((atom, selections), leaves):
            texts.setdefault(i, []).append(repr(at(leaves[i])))
    return {i: " + ".join(parts) for i, parts in texts.items()}


def _constrained(penalty: Penalty, leaves: Sequence[Leaf]) -> set[int]:
    """The leaves that are under a constraint."""
    constraints = (selections for atom, selections in penalty.atoms() if isinstance(atom, Constraint))
    return {i for selections in constraints for i in positions(leaves, selections)}


def _text_for(penalty: Penalty, leaves: Sequence[Leaf]) -> Callable[[Leaf], Penalty]:
    """From a leaf to the penalty with this leaf's numbers; one that is out of range is shown, not refused."""
    parts = {name: PerLeaf(getattr(penalty, name), name, leaves).part for name in number_names(penalty)}
    within = {name: _text_for(getattr(penalty, name), leaves) for name in names(penalty, Kind.NESTED)}

    def at(leaf: Leaf) -> Penalty:
        numbers = {name: _decimal(part(leaf)) for name, part in parts.items()}
        return remade(penalty, **numbers, **{name: part(leaf) for name, part in within.items()})

    return at


def _decimal(strength: Any) -> Any:
    """A scalar by its shortest decimal: 0.0001, not 1e-04; anything else as it is."""
    return float(str(strength)) if jnp.ndim(strength) == 0 else strength


def _row(leaf: Leaf, penalty: str | None, value: float, total: float, zeros: int, constrained: bool) -> Row:
    return Row(
        shape=tuple(leaf.value.shape),
        dtype=str(leaf.value.dtype),
        trainable=is_weight(leaf),
        penalty=penalty,
        value=value,
        violated=constrained and value == math.inf,
        share=_part(value, total) if penalty is not None else 0.0,
        zeros=zeros,
        size=math.prod(leaf.value.shape),
    )


def _part(value: float, total: float) -> float:
    return value / total if total else 0.0


_NONE, _NOT_TRAINED = "none", "not trained"  # in place of a penalty


def _cells(path: str, row: Row) -> tuple[str, ...]:
    penalized = row["penalty"] is not None
    return (
        path or "(the array)",
        str(row["shape"]),
        row["dtype"],
        row["penalty"] or (_NONE if row["trainable"] else _NOT_TRAINED),
        ("violated" if row["violated"] else f"{row['value']:.4g}") if penalized else "",
        _percent(row["share"]) if penalized and not row["violated"] else "",
        _zeros_of(row["zeros"], row["size"]) if row["trainable"] else "",
    )


def _zeros_of(zeros: int, size: int) -> str:
    return f"{zeros:,} of {size:,}, {_percent(_part(zeros, size))}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%" if math.isfinite(share) else f"{share}"
