"""Which leaves a penalty counts: globs on paths, predicates, masks, NNX filters."""

import abc
import difflib
import fnmatch
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import jax
import numpy as np

from penalties._tree.libraries import class_of
from penalties._tree.paths import COLLECTION, Leaf, is_inexact, leaves_with_paths

Where = str | tuple[str, ...] | Callable[[str, Any], bool] | Any
"""A glob on paths, or a tuple of them; a function (path, leaf) -> bool; a tree of bools; an nnx filter."""


class Selector(abc.ABC):
    """Decides leaf by leaf. Hashable, so that it can be part of a compiled function's key."""

    @abc.abstractmethod
    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        """One bool a leaf."""

    def to_config(self) -> Any:
        """What `.on` takes to make this selector again, in plain Python."""
        raise TypeError(
            f"a selection by {self!r} cannot be written to a config: select by globs such as "
            '"**/kernel", by `penalties.kernels` or by a tree of bools'
        )


@dataclass(frozen=True)
class Globs(Selector):
    """Paths that match any of the patterns; `*` stays within a segment, `**` crosses them."""

    patterns: tuple[str, ...]

    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        matched = {pattern: [_matches(pattern, leaf) for leaf in leaves] for pattern in self.patterns}
        for pattern, hits in matched.items():
            if not any(hits):
                message = _nothing_matched(f"the pattern {pattern!r}", leaves)
                raise ValueError(message + _suggestion(pattern, leaves))
        return [any(hits) for hits in zip(*matched.values(), strict=True)]

    def to_config(self) -> Any:
        return self.patterns[0] if len(self.patterns) == 1 else list(self.patterns)

    def __repr__(self) -> str:
        return repr(self.patterns[0] if len(self.patterns) == 1 else self.patterns)


@dataclass(frozen=True)
class Predicate(Selector):
    """Leaves for which `function(path, leaf)` is true; leaf has a shape and a dtype."""

    function: Callable[[str, Any], bool]

    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        return [self._chooses(leaf) for leaf in leaves]

    def _chooses(self, leaf: Leaf) -> bool:
        answer = self.function(leaf.path, leaf.value)
        try:
            return bool(answer)
        except Exception as error:  # arrays, traced ones, have no truth value
            raise TypeError(
                f"the selection by {self!r} returned {answer!r} of type {type(answer).__name__} for the "
                f"leaf {leaf.path!r}: expected True or False"
            ) from error

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


@dataclass(frozen=True)
class Mask(Selector):
    """A tree of bools, or a prefix of one: each bool speaks for all leaves below its path."""

    entries: tuple[tuple[str, bool], ...]

    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        lookup = dict(self.entries)
        return [bool(by_prefix(lookup, leaf.path, "mask")) for leaf in leaves]

    def to_config(self) -> Any:
        return {"mask": dict(self.entries)}

    def __repr__(self) -> str:
        return f"<mask of {len(self.entries)}>"


@dataclass(frozen=True)
class NNXFilter(Selector):
    """Leaves that a Flax NNX filter selects; arrays that are in no variable count as nnx.Param."""

    filter: Any

    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        from flax import nnx  # the filter is Flax's, so it is imported

        predicate = nnx.filterlib.to_predicate(self.filter)
        return [
            predicate(tuple(leaf.path.split("/")), nnx.Param(leaf.value) if leaf.box is None else leaf.box)
            for leaf in leaves
        ]

    def __repr__(self) -> str:
        return getattr(self.filter, "__name__", repr(self.filter))


_KERNEL = re.compile(r"(?:^|_)(?:kernel|embeddings?|lora_[ab])(?:_|$)")
_WEIGHT = re.compile(r"(?:^|_)(?:weights?|w)(?:_|$)")
_NORM = re.compile(r"norm|(?:^|[_/])(?:ln|bn)(?:[_/\d]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Kernels(Selector):
    """Selects weights by role, told by name; never biases, never norm scales.

    Those are `kernel`, `embedding`, and the names that Equinox (`weight`), Haiku (`w`) and Keras
    (`recurrent_kernel`, `embeddings`, ...) use.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, kernels
    >>> params = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
    >>> float(L1(0.5).on(kernels)(params))
    3.0
    """

    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        return [_is_kernel(leaf) for leaf in leaves]

    def to_config(self) -> Any:
        return {"selector": "kernels"}

    def __call__(self) -> NoReturn:
        raise TypeError("kernels is a selection and no function: write `.on(kernels)`, not `.on(kernels())`")

    def __repr__(self) -> str:
        return "kernels"


def _is_kernel(leaf: Leaf) -> bool:
    *parents, name = leaf.path.split("/")
    if "bias" in name:
        return False
    if _KERNEL.search(name):
        return True
    # "weight" is also what Equinox calls the scale of a norm: told by its layer, or by being flat.
    in_norm = _NORM.search("/".join(parents)) or _NORM.search(leaf.owner)
    return bool(_WEIGHT.search(name)) and not in_norm and len(getattr(leaf.value, "shape", ())) > 1


kernels = Kernels()


@dataclass(frozen=True)
class Weights(Selector):
    """All that can be penalized: what `.on(exclude=...)` leaves out of."""

    def choose(self, leaves: Sequence[Leaf]) -> list[bool]:
        return [is_inexact(leaf) for leaf in leaves]

    def to_config(self) -> Any:
        return {"selector": "weights"}

    def __repr__(self) -> str:
        return "weights"


weights = Weights()


_NNX_FILTERS = ("WithTag", "PathContains", "PathIn", "OfType", "Any", "All", "Not", "Everything", "Nothing")


def selector(where: Where) -> Selector:
    """The selector that `where` stands for (see `Penalty.on`)."""
    if isinstance(where, Selector):
        return where
    if isinstance(where, str):
        return Globs((where,))
    if isinstance(where, (tuple, list)) and where and all(isinstance(w, str) for w in where):
        return Globs(tuple(where))
    if _is_nnx_filter(where):
        return NNXFilter(where)
    if isinstance(where, (tuple, list)) and where and all(map(_is_nnx_filter, where)):
        return NNXFilter(tuple(where))  # any of them, as in NNX
    if _is_mask(where):
        return Mask(tuple((leaf.path, bool(leaf.value)) for leaf in leaves_with_paths(where)))
    if callable(where):
        return Predicate(cast(Callable[[str, Any], bool], where))
    raise TypeError(
        f"cannot select by {where!r} of type {type(where).__name__}: expected a glob such as "
        '"**/kernel", a tuple of globs, a function (path, leaf) -> bool, a tree of bools, or an '
        "nnx filter"
    )


def _is_nnx_filter(where: Any) -> bool:
    if isinstance(where, type):
        return issubclass(where, class_of("flax.nnx", "Variable"))
    return isinstance(where, tuple(class_of("flax.nnx.filterlib", name) for name in _NNX_FILTERS))


def _is_mask(where: Any) -> bool:
    leaves = jax.tree.leaves(where)
    return bool(leaves) and all(isinstance(leaf, (bool, np.bool_)) for leaf in leaves)


def by_prefix(lookup: dict[str, Any], path: str, what: str) -> Any:
    """The entry of `lookup` whose path is `path` or above it."""
    parts = path.split("/") if path else []
    for depth in range(len(parts), -1, -1):
        prefix = "/".join(parts[:depth])
        if prefix in lookup:
            return lookup[prefix]
    raise ValueError(
        f"the {what} has no entry for the leaf {path!r}; its entries are {_listed(list(lookup))}. "
        f"Give one for each leaf, or for a branch above it."
    )


def _matches(pattern: str, leaf: Leaf) -> bool:
    parts = tuple(pattern.split("/"))
    paths = [tuple(path.split("/")) for path in (leaf.path, *leaf.also)]
    # The full spelling of a Linen path is understood as well.
    spellings = (parts, parts[1:]) if parts[0] == COLLECTION else (parts,)
    return any(_match_parts(spelling, path) for spelling in spellings for path in paths)


@functools.lru_cache(maxsize=65536)
def _match_parts(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return _match_parts(pattern[1:], path) or (bool(path) and _match_parts(pattern, path[1:]))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _match_parts(pattern[1:], path[1:])


def _listed(paths: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(repr(path) for path in paths[:most])
    return shown + (f", ... ({len(paths)} in all)" if len(paths) > most else "")


def _nothing_matched(what: str, leaves: Sequence[Leaf]) -> str:
    paths = [leaf.path for leaf in leaves]
    if not paths:
        return f"{what} has nothing to match: there are no leaves, or none that is trained"
    return f"{what} matches none of the {len(paths)} leaves: {_listed(paths)}."


def _suggestion(pattern: str, leaves: Sequence[Leaf]) -> str:
    """The question whether a pattern that does match was meant; "" without one that is near."""
    paths = [path for leaf in leaves for path in (leaf.path, *leaf.also)]
    known = sorted({COLLECTION, *(name for path in paths for name in path.split("/"))})
    parts = [(difflib.get_close_matches(part, known, n=1) or [part])[0] for part in pattern.split("/")]
    named = [i for i, part in enumerate(parts) if part not in ("*", "**")]
    near = ["/".join(parts)]
    if named:
        # A beginning is missing, or a middle, or all but the name.
        near += ["/".join(["**", *parts[named[0] :]]), "/**/".join(part for part in parts if part != "**")]
    if named and named[-1] == len(parts) - 1:
        near.append(f"**/{parts[-1]}")
    near += difflib.get_close_matches(pattern, paths, n=1)
    fits = (p for p in near if any(_matches(p, leaf) for leaf in leaves))
    return next((f" Did you mean {p!r}?" for p in fits), "")


def nothing_selected(selection: str, leaves: Sequence[Leaf]) -> ValueError:
    """The error for a selection that is left with no leaf."""
    return ValueError(_nothing_matched(f"the selection {selection}", leaves))


def selector_from_config(config: Any) -> Selector:
    """The selector that `to_config` wrote."""
    if isinstance(config, dict):
        for named in (kernels, weights):
            if config == named.to_config():
                return named
        if set(config) == {"mask"}:
            return Mask(tuple(config["mask"].items()))
        raise ValueError(
            f'no selection is described by {config!r}: expected a glob, a list of globs, {{"mask": ...}} or '
            f"{kernels.to_config()}"
        )
    return selector(config if isinstance(config, str) else tuple(config))
