"""Numbers as people write them."""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer


def shortest(x: Any) -> np.ndarray:
    """An array in float64, each number by the shortest decimal it is in its own dtype.

    >>> shortest(np.float32(0.1)).item()  # and not 0.10000000149
    0.1
    """
    array = np.asarray(x)
    return np.array([float(str(number)) for number in array.ravel()]).reshape(array.shape)


def shown(value: Any) -> str:
    """A strength as text, in the repr of a penalty: short, whatever it is."""
    if isinstance(value, Tracer):
        return str(value.aval.str_short())
    if isinstance(value, (jax.Array, np.ndarray)) and value.ndim:
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return str(shortest(value).item())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shown(v)}" for k, v in value.items()) + "}"
    return repr(value)
