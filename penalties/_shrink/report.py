"""What shrinking saved, and that it changed nothing."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import jax
import numpy as np

from penalties._shrink.coupling import Coupling
from penalties._shrink.cut import Cut
from penalties._shrink.factorize import Factorization
from penalties._shrink.networks import Network
from penalties._shrink.program import Equation
from penalties._tables import Tabular


@final
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ShrinkReport(Tabular):
    """What a smaller network saves; prints as a table.

    Attributes:
        units: of each class of coupled units, how many there were and how many are left.
        parameters: how many numbers the params held, and hold.
        bytes: of the params.
        flops: of the products in one call on the given inputs: 2 for each multiplication and addition.
        outputs: the largest difference of the outputs on the given inputs, relative to the largest
            output; None when the inputs were shapes alone. Both networks are run when it is asked for.
        factorization: what `with_factors` was given, or None.

    >>> import jax.numpy as jnp
    >>> from penalties import shrink
    >>> params = [jnp.array([[1.0, 0.0, 2.0]]), jnp.array([[1.0], [1.0], [1.0]])]
    >>> print(shrink(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 1))).report)
    what                           before    after  times smaller
    -------------------------------------------------------------
    units of 0 axis 1                   3        2            1.5
    parameters                          6        4            1.5
    bytes                              24       16            1.5
    flops                              12        8            1.5
    largest difference of outputs          0.0e+00
    """

    units: dict[str, tuple[int, int]]
    parameters: tuple[int, int]
    bytes: tuple[int, int]
    flops: tuple[int, int]
    _difference: Callable[[], float | None]
    factorization: Factorization | None = None

    @property
    def outputs(self) -> float | None:
        """The largest difference of the outputs, relative to the largest output."""
        return self._difference()

    def with_factors(self, factorization: Factorization) -> "ShrinkReport":
        """This report and what factors of kernels of low rank save besides: `factorize(small.params)`.

        >>> import jax.numpy as jnp
        >>> from penalties import factorize, shrink
        >>> params = [jnp.ones((4, 6)), jnp.ones((6, 1))]
        >>> small = shrink(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 4)))
        >>> print(small.report.with_factors(factorize(small.params, "0")))
        what                           before    after  times smaller
        -------------------------------------------------------------
        units of 0 axis 1                   6        6              1
        parameters                         30       30              1
        bytes                             120      120              1
        flops                              60       60              1
        rank of 0                           4        1              4
        parameters with factors            30       16           1.88
        largest difference of outputs          0.0e+00
        no unit is dead
        """
        return dataclasses.replace(self, factorization=factorization)

    def _table_columns(self) -> Sequence[str]:
        return ("what", ":before", ":after", ":times smaller")

    def _table_rows(self) -> Iterator[tuple[str, ...]]:
        for name, counts in self.units.items():
            yield _row(f"units of {name}", *counts)
        for name in ("parameters", "bytes", "flops"):
            yield _row(name, *getattr(self, name))
        if self.factorization is not None:
            yield from self._rows_of_factors(self.factorization)
        if self.outputs is not None:
            yield "largest difference of outputs", "", f"{self.outputs:.1e}", ""
        if all(before == after for before, after in self.units.values()):
            yield "no unit is dead", "", "", ""

    def _rows_of_factors(self, factorization: Factorization) -> Iterator[tuple[str, ...]]:
        before, after = self.parameters
        for path, factors in factorization.factors.items():
            yield _row(f"rank of {path}", factors.full_rank, factors.rank)
            after += factors.u.size + factors.v.size - math.prod(factorization.shapes[path])
        yield _row("parameters with factors", before, after)


def _row(name: str, before: int, after: int) -> tuple[str, ...]:
    return name, f"{before:,}", f"{after:,}", f"{before / after:.3g}" if after else ""


def largest_difference(large: Sequence[Any], small: Sequence[Any]) -> float:
    """max |large − small| / max |large|, over all outputs."""
    worst = 0.0
    for a, b in zip(large, small, strict=True):
        a, b = (np.asarray(x).astype(np.result_type(np.asarray(x).dtype, np.float64)) for x in (a, b))
        if a.size:
            scale = float(np.abs(a).max()) or 1.0
            worst = max(worst, float(np.abs(a - b).max()) / scale)
    return worst


def flops(coupling: Coupling, keep: np.ndarray) -> int:
    """Of the products of a program when only these labels stay."""
    return _flops(coupling.program.equations, Cut(coupling, keep))


def _flops(equations: Sequence[Equation], cut: Cut) -> int:
    total = 0
    for equation in equations:
        if equation.body is not None:
            total += equation.params["length"] * _flops(equation.body.equations, cut)
        elif equation.name in ("dot_general", "conv_general_dilated"):
            kernel = cut.shape(equation.inputs[1])
            out = math.prod(cut.shape(equation.outputs[0]))
            if equation.name == "dot_general":
                (_, right), _ = equation.params["dimension_numbers"]
                total += 2 * out * math.prod(kernel[k] for k in right)
            else:
                d = equation.params["dimension_numbers"]
                total += 2 * out * math.prod(kernel[k] for k in d.rhs_spec[1:])
    return total


def measured(
    network: Network,
    coupling: Coupling,
    keep: np.ndarray,
    units: dict[str, tuple[int, int]],
    apply: Callable[..., Any],
    params: Any,
) -> ShrinkReport:
    """The report on a network of which only these labels stay."""
    small = network.leaves_of(params)
    everything = np.ones_like(keep)

    @functools.cache
    def difference() -> float | None:
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in network.inputs):
            return None
        large = jax.jit(network.function)(network.leaves, network.inputs)
        arguments = network.arguments(network.inputs)
        return largest_difference(
            jax.tree.leaves(large), jax.tree.leaves(jax.jit(lambda p: apply(p, *arguments))(params))
        )

    return ShrinkReport(
        units,
        (sum(x.size for x in network.leaves), sum(x.size for x in small)),
        (sum(x.nbytes for x in network.leaves), sum(x.nbytes for x in small)),
        (flops(coupling, everything), flops(coupling, keep)),
        difference,
    )
