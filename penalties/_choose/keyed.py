"""Functions as static arguments of `jax.jit`: another is compiled once they refer to something else.

`jax.jit` traces a function once, and goes on with the data that it closed over then. Who writes `jax.jit`
expects that. `solve(loss, ...)` compiles by itself, and is called in loops over data, and again in the cell
of a notebook, with a loss that names them. So the key of what is compiled for a function is its code, and the
objects that its closure, its defaults, the globals it names, and the object it is a method of hold at this
moment. What was changed in place is the same object, as for `jax.jit`.
"""

import functools
import os
import sysconfig
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_INSTALLED = tuple(
    os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


class Keyed:
    """A function that is equal to another of the same code that refers to the same objects."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self._key = tuple(_parts(function))
        self._hash = hash(self._key)

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyed) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash


class _Same:
    """An object that is equal to itself alone; it is kept alive, so that no other gets its id."""

    def __init__(self, what: Any):
        self._what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._what is other._what

    def __hash__(self) -> int:
        return id(self._what)


def _parts(function: Callable[..., Any]) -> Iterator[Any]:
    """What a function refers to, and the functions that it refers to in turn: hashable, in a fixed order."""
    waiting: list[Any] = [function]
    seen: dict[int, int] = {}
    for x in waiting:  # which grows
        if isinstance(x, (bool, int, float, complex, str, bytes, np.generic)):
            yield type(x), repr(x)  # 0.0 is not −0.0, and 1 is not True
        elif not isinstance(x, _FUNCTIONS):
            yield _Same(x)
        elif id(x) in seen:
            yield seen[id(x)]
        else:
            seen[id(x)] = len(seen)
            yield type(x)
            waiting += _referred(x)


def _referred(x: Any) -> Iterator[Any]:
    if isinstance(x, Keyed):
        yield x.function
    elif isinstance(x, functools.partial):
        yield from (x.func, *x.args, *x.keywords, *x.keywords.values())
    elif isinstance(x, types.MethodType):
        held = getattr(x.__self__, "__dict__", {})
        yield from (x.__func__, x.__self__, *held, *held.values())
    else:
        yield x.__code__
        yield from (*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values())
        yield from map(_held, x.__closure__ or ())
        if not x.__code__.co_filename.startswith(_INSTALLED):
            yield from _named(_names(x.__code__), x.__globals__)


def _named(names: set[str], scope: dict[str, Any]) -> Iterator[Any]:
    """What the scope has by these names, and what modules in it have, unless they are installed."""
    for name in sorted(names & scope.keys()):
        yield from (name, scope[name])
        if isinstance(scope[name], types.ModuleType) and not _is_installed(scope[name]):
            attributes = vars(scope[name])
            for attribute in sorted(names & attributes.keys()):
                yield from (attribute, attributes[attribute])


def _names(code: types.CodeType) -> set[str]:
    """The globals, among attributes, that the code and the functions within it name."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _is_installed(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(_INSTALLED)


_FUNCTIONS = types.FunctionType, types.MethodType, functools.partial, Keyed
