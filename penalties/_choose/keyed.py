"""Functions for which something is compiled: another one as soon as what it refers to has changed.

`jax.jit` traces a function once, and goes on with the data that it closed over then. Who writes `jax.jit`
expects that; `solve(loss, ...)` compiles by itself, and must not answer for the data of the last call. So
functions given there are looked into: their code, and what their closures, their defaults, the globals they
name, and the objects they are methods of hold at this moment. Arrays of JAX, which nobody can change, and
what is installed count as the same if they are one object; numbers and strings if they are equal; NumPy
arrays if their contents are. Of anything else nobody can tell whether it has changed: it is taken to have.
"""

import functools
import hashlib
import sysconfig
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

_INSTALLED = (*sysconfig.get_paths().values(), str(Path(__file__).parents[1]))
_MOST = 10_000  # objects that are looked at
_KEPT = 128  # functions that are known, with the data they hold


class Keyed:
    """A function as a static argument of what is jitted: equal to itself alone."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


_known: OrderedDict[tuple[Any, ...], Keyed] = OrderedDict()


@contextmanager
def keyed(function: Callable[..., Any]) -> Iterator[Keyed]:
    """The same `Keyed` as for a function of the same parts before, or a new one."""
    if isinstance(function, Keyed):
        yield function
        return
    before = _parts(function)
    found = _known.get(before) or Keyed(function)
    # Of those with the same parts the one that has them now: it may be traced again, for other shapes.
    found.function = function
    yield found
    # Tracing it may have changed what it refers to, such as a list in which it writes down that it was.
    for parts in (before, _parts(function)):
        _known[parts] = found
        _known.move_to_end(parts)
    while len(_known) > _KEPT:
        _known.popitem(last=False)


def _parts(function: Callable[..., Any]) -> tuple[Any, ...]:
    try:
        parts = tuple(_Parts().of(function))
        hash(parts)
    except Exception:  # of what cannot be hashed, or has no `vars`
        return (_Same(object()),)
    return parts


class _Same:
    """An object that is equal to itself alone; it is kept alive, so that no other gets its id."""

    def __init__(self, what: Any):
        self._what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._what is other._what

    def __hash__(self) -> int:
        return id(self._what)


class _Parts:
    """What functions consist of, in order, each part hashable."""

    def __init__(self):
        self._seen: dict[int, tuple[int, Any]] = {}  # with the object, for no other to get its id

    def of(self, x: Any) -> Iterator[Any]:
        if isinstance(x, (np.ndarray, np.generic)):
            yield from _contents(x)
        elif isinstance(x, (float, complex)):
            yield type(x), repr(x)  # −0 is not 0, and NaN is NaN
        elif isinstance(x, (bool, int, str, bytes, type(None))):
            yield type(x), x
        elif isinstance(x, (jax.Array, type, types.ModuleType, types.BuiltinFunctionType, np.ufunc)):
            yield _Same(x)
        elif id(x) in self._seen:
            yield "seen", self._seen[id(x)][0]
        elif len(self._seen) == _MOST:
            yield _Same(object())
        else:
            self._seen[id(x)] = len(self._seen), x
            yield from self._within(x)

    def _within(self, x: Any) -> Iterator[Any]:
        if isinstance(x, types.FunctionType):
            yield from self._of_function(x)
        elif isinstance(x, types.MethodType):
            yield from self.of(x.__func__)
            yield from self.of(x.__self__)
        elif isinstance(x, functools.partial):
            yield from self.of((x.func, x.args, x.keywords))
        elif hasattr(x, "lower") and hasattr(x, "__wrapped__"):  # by `jax.jit`, as it was then
            yield _Same(x)
        else:
            yield from self._of_object(x)

    def _of_function(self, function: types.FunctionType) -> Iterator[Any]:
        code = function.__code__
        if code.co_filename.startswith(_INSTALLED):
            yield _Same(function)
            return
        yield code
        yield from self.of((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            yield from self.of(_held(cell))
        for name in sorted(_names(code) & function.__globals__.keys()):
            yield name
            yield from self.of(function.__globals__[name])

    def _of_object(self, x: Any) -> Iterator[Any]:
        if not jax.tree_util.all_leaves([x]):
            leaves, treedef = jax.tree.flatten(x)
            hash(treedef)
            yield treedef
            for leaf in leaves:
                yield from self.of(leaf)
        elif type(x).__hash__ not in (object.__hash__, None):
            hash(x)
            yield x  # equal by value: it is not to be changed
        else:
            yield type(x)
            yield from self.of(vars(x))


def _contents(x: Any) -> Iterator[Any]:
    if x.dtype.hasobject:
        yield _Same(object())
    else:
        digest = hashlib.blake2b(np.ascontiguousarray(x).data, digest_size=16).digest()
        yield np.ndarray, x.dtype.str, x.shape, digest


def _names(code: types.CodeType) -> set[str]:
    """The globals, among attributes, that the code and the functions within it name."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None
