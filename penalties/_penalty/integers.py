"""Whole numbers that are given as arguments: counts, axes."""

import operator
from typing import Any


def checked_int(value: Any, name: str, at_least: int | None = None) -> int:
    """`value` as an int, at least so much.

    Raises:
        TypeError: it is no int; a bool is none.
        ValueError: it is less.
    """
    expected = "an int" if at_least is None else f"an int ≥ {at_least}"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}: expected {expected}") from None
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} is {number}: expected {expected}")
    return number
