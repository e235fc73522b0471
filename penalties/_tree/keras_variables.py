"""Keras variables as leaves: by which paths, and which of them are trained. Keras is not imported here."""

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax

from penalties._tree.libraries import class_of


class KerasKey(NamedTuple):
    """Where a Keras variable stands among others, and what a selection may ask about it."""

    name: str  # its Keras path, made unique
    also: tuple[str, ...]  # other paths by which a selection may name it
    trainable: bool


def keras_keys(variables: Sequence[Any], paths: Sequence[str]) -> tuple[KerasKey, ...]:
    """The keys of variables by these paths.

    What all paths begin with, such as the name of a Sequential model, may be left out in a selection.
    """
    shared = 0
    parents = [path.split("/")[:-1] for path in paths]
    while parents and all(len(p) > shared and p[shared] == parents[0][shared] for p in parents):
        shared += 1
    seen: collections.Counter[str] = collections.Counter()
    keys = []
    for variable, path in zip(variables, paths, strict=True):
        parts = path.split("/")
        below = tuple("/".join(parts[depth:]) for depth in range(1, shared + 1))
        name = path + "_" * seen[path]  # Keras lets two layers have one name
        seen[path] += 1
        # float8 training stores scales in "trainable" variables that are overwritten, not trained.
        trainable = variable.trainable and not variable.overwrite_with_gradient
        keys.append(KerasKey(name, below if name == path else (path, *below), trainable))
    return tuple(keys)


class KerasWeights:
    """The arrays of Keras variables, as a tree in which each has its Keras path."""

    def __init__(self, keys: tuple[KerasKey, ...], values: Iterable[Any]):
        self.keys, self.values = keys, tuple(values)


jax.tree_util.register_pytree_with_keys(
    KerasWeights,
    lambda weights: (tuple(zip(weights.keys, weights.values, strict=True)), weights.keys),
    KerasWeights,
    lambda weights: (weights.values, weights.keys),
)


def open_keras(params: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A Keras model, a list of Keras variables or one of them as a tree of arrays; anything else as it is.

    And the way back for a tree like it: a dict by path for a model, a list, an array.

    Raises:
        RuntimeError: one variable, of another backend than JAX.
    """
    if isinstance(params, class_of("keras", "Layer")):
        return _weights(params.trainable_variables), _by_path
    if is_variable(params):
        if not isinstance(params.value, jax.Array):
            raise RuntimeError(
                f"got the Keras variable {params.path!r} of another backend than JAX, in whose gradients a "
                "penalty computed with JAX would be missing: as a regularizer take penalties.keras.L1, L2 or "
                'L1L2, or set KERAS_BACKEND="jax"; for numbers alone pass `variable.numpy()`'
            )
        return _weights([params]), lambda weights: weights.values[0]
    if isinstance(params, (list, tuple)) and params and all(is_variable(x) for x in params):
        return _weights(params), lambda weights: list(weights.values)
    return params, lambda tree: tree


def is_variable(x: Any) -> bool:
    """Whether x is a Keras variable."""
    return isinstance(x, class_of("keras", "Variable"))  # Keras 2 has no such class


def value_of(variable: Any) -> Any:
    """What a Keras variable holds; backends other than JAX have arrays of their own."""
    return variable.value if isinstance(variable.value, jax.Array) else variable.numpy()


def _weights(variables: Sequence[Any]) -> KerasWeights:
    keys = keras_keys(variables, [variable.path for variable in variables])
    return KerasWeights(keys, [value_of(variable) for variable in variables])


def _by_path(weights: KerasWeights) -> dict[str, Any]:
    return {key.name: value for key, value in zip(weights.keys, weights.values, strict=True)}
