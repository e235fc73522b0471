"""What can be shrunk, whatever it is written in: leaves with paths, and a function of leaves and inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from penalties._tree.keras_variables import keras_keys
from penalties._tree.libraries import class_of
from penalties._tree.nnx_modules import is_module, merge, split
from penalties._tree.paths import is_array, join, leaves_with_paths


class Network:
    """A function of params and inputs, with the params taken apart.

    Attributes:
        leaves: the arrays among the params; everything else in them is part of the function.
        paths: of each.
        trained: whether each is trained, and no statistic of a norm.
        inputs: the arrays among the inputs.
    """

    def __init__(self, fn: Any, params: Any, inputs: Sequence[Any]):
        fn, params, inputs = _with_params(fn, params, inputs)
        self.fn = fn
        self._graph = None
        self.keras = params if isinstance(params, class_of("keras", "Layer")) else None
        if self.keras is not None:
            self.fn = _keras_function(params)
            params = {path: variable.value for path, variable in keras_variables(params).items()}
        elif is_module(params):
            self._graph, params = split(_evaluated(params))
        self._others, self.leaves, self._treedef = _arrays(params)
        leaves = [leaf for leaf in leaves_with_paths(params) if _is_input(leaf.value)]
        self.paths = [leaf.path for leaf in leaves]
        kept_still = set() if self.keras is None else list(params)[len(self.keras.trainable_variables) :]
        self.trained = [leaf.trainable and leaf.path not in kept_still for leaf in leaves]
        self._other_inputs, self.inputs, self._input_treedef = _arrays(inputs)

    def function(self, leaves: Sequence[Any], inputs: Sequence[Any]) -> Any:
        """The function, of arrays alone."""
        params, arguments = self.tree(leaves), self.arguments(inputs)
        if self._graph is None:
            return self.fn(params, *arguments)
        before = _values(params)
        module = merge(self._graph, params)
        results = self.fn(module, *arguments)
        _refuse_updates(before, _values(split(module)[1]))
        return results

    def tree(self, leaves: Sequence[Any]) -> Any:
        """A tree like the params, an NNX state of a module, with these leaves."""
        return _joined(self._others, leaves, self._treedef)

    def arguments(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The inputs as the user passes them, with these arrays."""
        return _joined(self._other_inputs, inputs, self._input_treedef)

    def with_inputs(self, inputs: Sequence[Any]) -> "Network":
        """The same function and params, and other inputs."""
        other = object.__new__(Network)
        other.__dict__.update(self.__dict__)
        other._other_inputs, other.inputs, other._input_treedef = _arrays(tuple(inputs))
        return other

    def like(self, params: Any) -> "Network":
        """The same function and inputs, and other params."""
        return Network(self.fn, params, self.arguments(self.inputs))

    @property
    def signature(self) -> tuple[Any, ...]:
        """What a trace depends on: the structure, shapes and dtypes of the inputs, and what is no array."""
        shapes = tuple((tuple(x.shape), str(x.dtype)) for x in self.inputs)
        return self._input_treedef, shapes, tuple(map(repr, self._other_inputs))

    def leaves_of(self, params: Any) -> list[Any]:
        """The arrays of a tree like the params."""
        if is_module(params):
            params = split(params)[1]
        _, leaves, treedef = _arrays(params)
        if treedef != self._treedef or len(leaves) != len(self.leaves):
            raise ValueError(
                f"params of another structure than those that were shrunk: {treedef} where "
                f"{self._treedef} was expected; pass a tree like `shrunk.params`"
            )
        return leaves


def _with_params(fn: Any, params: Any, inputs: Sequence[Any]) -> tuple[Any, Any, tuple[Any, ...]]:
    """Models that hold their params stand in the place of the function: `shrink(model, x)`."""
    if isinstance(fn, class_of("flax.linen", "Module")):
        return fn.apply, params, tuple(inputs)
    if is_module(fn) or isinstance(fn, (class_of("keras", "Layer"), class_of("equinox", "Module"))):
        return (lambda model, *inputs: model(*inputs)), fn, (params, *inputs)
    if not callable(fn):
        raise TypeError(f"expected a function of params and inputs, or a model; got a {type(fn).__name__}")
    return fn, params, tuple(inputs)


def _evaluated(module: Any) -> Any:
    from flax import nnx  # there is a module, so Flax is imported

    copy = nnx.clone(module)
    copy.eval()
    return copy


def keras_variables(model: Any) -> dict[str, Any]:
    """The variables of a Keras model by path: first those that are trained."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    keys = keras_keys(variables, [variable.path for variable in variables])
    return {key.name: variable for key, variable in zip(keys, variables, strict=True)}


def _keras_function(model: Any) -> Callable[..., Any]:
    paths = list(keras_variables(model))
    trained = len(model.trainable_variables)

    def function(params: dict[str, Any], *inputs: Any) -> Any:
        values = [params[path] for path in paths]
        arguments = inputs if len(inputs) == 1 else (list(inputs),)
        return model.stateless_call(values[:trained], values[trained:], *arguments, training=False)[0]

    return function


def _is_input(leaf: Any) -> bool:
    return is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _arrays(tree: Any) -> tuple[list[Any], list[Any], Any]:
    """All leaves with None for the arrays, the arrays, and the structure."""
    leaves, treedef = jax.tree.flatten(tree)
    return [None if _is_input(x) else x for x in leaves], [x for x in leaves if _is_input(x)], treedef


def _joined(others: Sequence[Any], arrays: Sequence[Any], treedef: Any) -> Any:
    left = iter(arrays)
    return jax.tree.unflatten(treedef, [next(left) if x is None else x for x in others])


def _refuse_updates(before: dict[str, Any], after: dict[str, Any]) -> None:
    for path, value in after.items():
        if path not in before or value is not before[path]:
            raise ValueError(
                f"calling the module changes its variable {path!r}, as in training: a smaller network is "
                "made of what the module returns; call model.eval(), or build its layers with "
                "use_running_average=True and deterministic=True"
            )


def _values(state: Any) -> dict[str, Any]:
    """All that a call could leave behind; that it counts the random numbers it might draw does not matter."""
    from flax import nnx

    lasting = nnx.filter_state(state, nnx.Not(nnx.RngState))
    return {join(path): value for path, value in jax.tree_util.tree_flatten_with_path(lasting)[0]}
