"""A function as a flat list of equations: its jaxpr with the calls written out."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Primitives that only call a jaxpr. Written out, since a cached inner jaxpr is shared by its call sites.
CALLS = names(
    """jit pjit closed_call core_call remat remat2 checkpoint custom_jvp_call custom_vjp_call
    custom_vjp_call_jaxpr"""
)
RANDOM = names("random_bits threefry2x32 rng_bit_generator rng_uniform")


@dataclasses.dataclass(eq=False)
class Equation:
    """One primitive applied to variables; variables are numbers. A scan has a body.

    `is_relu` marks the maximum that stands for `jax.nn.relu`, whose derivative at 0 is 0 and not ½.
    """

    primitive: Any
    params: dict[str, Any]
    inputs: list[int]
    outputs: list[int]
    body: "Body | None" = None
    is_relu: bool = False

    @property
    def name(self) -> str:
        return self.primitive.name

    def bind(self, *operands: Any, **changed: Any) -> list[Any]:
        """The primitive applied to these operands, with some of its params changed."""
        results = self.primitive.bind(*operands, **(self.params | changed))
        return list(results) if self.primitive.multiple_results else [results]


@dataclasses.dataclass(eq=False)
class Body:
    """The equations of one step of a scan.

    The inputs are constants, then what is carried, then one of each stacked array; the outputs what is
    carried, then one of each that is stacked.
    """

    inputs: list[int]
    outputs: list[int]
    equations: list[Equation]
    constants: int
    carried: int


class Program:
    """What a function of leaves and inputs computes, for these shapes.

    Attributes:
        shapes, dtypes: of each variable.
        constants: the values of the variables that are constants of the trace.
        leaves, inputs, outputs: the variables of the leaves of params, of the inputs, of the results.
        equations: in order, without those that no result needs.
        treedef: the structure of the results.
    """

    def __init__(self, function: Callable[..., Any], leaves: Sequence[Any], inputs: Sequence[Any]):
        closed, out = jax.make_jaxpr(function, return_shape=True)(list(leaves), list(inputs))
        effects = sorted(str(effect) for effect in closed.jaxpr.effects)
        if effects:
            raise ValueError(
                f"the function has side effects ({', '.join(effects)}): a smaller network is made of its "
                "results alone; take jax.debug.print, callbacks and the like out of it first"
            )
        self.treedef = jax.tree.structure(out)
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[Any] = []
        self.constants: dict[int, Any] = {}
        variables = [self._new(v.aval) for v in closed.jaxpr.invars]
        self.leaves, self.inputs = variables[: len(leaves)], variables[len(leaves) :]
        equations: list[Equation] = []
        self.outputs = self._write_out(closed.jaxpr, closed.consts, variables, equations)
        self.equations = _needed(equations, self.outputs)
        self._refuse_random()

    def is_weight(self, variable: int) -> bool:
        """Whether this variable holds floating-point or complex numbers."""
        return jnp.issubdtype(self.dtypes[variable], jnp.inexact)

    def _new(self, aval: Any, constant: Any = None) -> int:
        self.shapes.append(tuple(getattr(aval, "shape", ())))
        self.dtypes.append(getattr(aval, "dtype", None))
        variable = len(self.shapes) - 1
        if constant is not None:
            self.constants[variable] = constant
        return variable

    def _write_out(
        self, jaxpr: Any, constants: Sequence[Array], inputs: list[int], equations: list[Equation]
    ) -> list[int]:
        """Appends the equations of a jaxpr, and those of the jaxprs it calls; returns its results."""
        from jax.extend.core import Literal  # brings half of Pallas along

        variables = dict(zip(jaxpr.invars, inputs, strict=True))
        variables |= {v: self._new(v.aval, c) for v, c in zip(jaxpr.constvars, constants, strict=True)}

        def read(v: Any) -> int:
            return self._new(v.aval, v.val) if isinstance(v, Literal) else variables[v]

        for equation in jaxpr.eqns:
            operands = [read(v) for v in equation.invars]
            name, params = equation.primitive.name, equation.params
            if name in CALLS:
                called = _called(params)
                inner, consts = (called.jaxpr, called.consts) if hasattr(called, "consts") else (called, [])
                start = len(equations)
                results = self._write_out(inner, consts, operands, equations)
                if name == "custom_jvp_call":
                    self._mark_relu(equations[start:])
                variables |= dict(zip(equation.outvars, results, strict=True))
                continue
            results = [self._new(v.aval) for v in equation.outvars]
            variables |= dict(zip(equation.outvars, results, strict=True))
            body = self._body(params["jaxpr"], operands, results) if name == "scan" else None
            equations.append(Equation(equation.primitive, params, operands, results, body))
        return [read(v) for v in jaxpr.outvars]

    def _mark_relu(self, equations: list[Equation]) -> None:
        if [equation.name for equation in equations] == ["max"]:
            zeros = [v in self.constants and not np.any(self.constants[v]) for v in equations[0].inputs]
            equations[0].is_relu = zeros == [False, True]

    def _body(self, closed: Any, operands: list[int], results: list[int]) -> Body:
        inputs = [self._new(v.aval) for v in closed.jaxpr.invars]
        equations: list[Equation] = []
        outputs = self._write_out(closed.jaxpr, closed.consts, inputs, equations)
        # What is stacked has one axis more outside; the params say it in another way in each version of JAX.
        stacked = sum(
            len(self.shapes[v]) > len(self.shapes[w]) for v, w in zip(operands, inputs, strict=True)
        )
        carried = sum(
            len(self.shapes[v]) == len(self.shapes[w]) for v, w in zip(results, outputs, strict=True)
        )
        constants = len(inputs) - carried - stacked
        return Body(inputs, outputs, _needed(equations, outputs), constants, carried)

    def _refuse_random(self) -> None:
        drawn = sorted({e.name for e in every_equation(self.equations)} & RANDOM)
        if drawn:
            raise ValueError(
                f"the function draws random numbers ({', '.join(drawn)}), it seems to be in training mode; "
                "shrink what is evaluated (deterministic=True in Linen, model.eval() in NNX, "
                "eqx.nn.inference_mode in Equinox, training=False in Keras)"
            )


def every_equation(equations: Sequence[Equation]) -> list[Equation]:
    """These equations and those of the bodies of their scans."""
    found = []
    for equation in equations:
        found.append(equation)
        if equation.body is not None:
            found += every_equation(equation.body.equations)
    return found


def _called(params: dict[str, Any]) -> Any:
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if name in params:
            return params[name]
    raise NotImplementedError(f"a call without a jaxpr among {sorted(params)}")


def _needed(equations: list[Equation], outputs: Sequence[int]) -> list[Equation]:
    needed = set(outputs)
    kept = []
    for equation in reversed(equations):
        if needed.intersection(equation.outputs):
            needed.update(equation.inputs)
            kept.append(equation)
    return kept[::-1]
