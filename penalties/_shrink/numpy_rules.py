"""Elementwise primitives in NumPy: a compiler would take longer for each of them than all of them take."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from penalties._shrink.program import Equation


def _special(name: str) -> Callable[..., np.ndarray]:
    def function(x: np.ndarray) -> np.ndarray:
        from scipy import special  # a third of a second

        return getattr(special, name)(x.astype(np.float64)).astype(x.dtype)

    return function


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "abs": np.abs,
    "add": np.add,
    "and": np.bitwise_and,
    "cos": np.cos,
    "copy": np.array,
    "eq": np.equal,
    "erf": _special("erf"),
    "erfc": _special("erfc"),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "logistic": _special("expit"),
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sign": np.sign,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "square": np.square,
    "stop_gradient": np.array,
    "sub": np.subtract,
    "tanh": np.tanh,
}


def in_numpy(equation: Equation, operands: Sequence[np.ndarray]) -> Any:
    """What an elementwise primitive gives, or None for the rare ones that are left to JAX."""
    name, params = equation.name, equation.params
    with np.errstate(all="ignore"):
        if name in FUNCTIONS:
            return FUNCTIONS[name](*operands)
        if name == "integer_pow":
            return operands[0] ** np.asarray(params["y"], operands[0].dtype)
        if name == "div" and operands[0].dtype.kind not in "biu":
            return operands[0] / operands[1]
        if name == "convert_element_type" and np.dtype(params["new_dtype"]).kind in "fbV":
            return operands[0].astype(params["new_dtype"])
        if name == "select_n" and operands[0].dtype == bool and len(operands) == 3:
            return np.where(operands[0], operands[2], operands[1])
        if name == "clamp":
            return np.minimum(np.maximum(operands[1], operands[0]), operands[2])
    return None
