"""Small params back in a model, if the model computes what the small trace does."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from penalties._shrink.networks import Network, keras_variables
from penalties._shrink.program import Program
from penalties._shrink.same_program import first_difference
from penalties._tree.libraries import class_of
from penalties._tree.nnx_modules import is_module, merge, split

Sizes = Mapping[str, int | tuple[int, ...]]

# The arguments of Keras's layers that say how many features they have.
FEATURES = ("units", "filters", "output_dim")


def with_small_params(
    model: Any, network: Network, small: Program, leaves: Sequence[Any], sizes: Sizes
) -> Any:
    """The model, or the params that go with it, holding these leaves; checked equation by equation."""
    arguments = network.arguments(network.inputs)
    if isinstance(model, class_of("keras", "Layer")):
        result = _keras_model(model, network, leaves, sizes)
        candidate = Network(result, arguments[0], arguments[1:])
    elif is_module(model):
        graph, state = split(model)
        result = merge(graph, jax.tree.unflatten(jax.tree.structure(state), leaves))
        candidate = network.like(result)
    elif isinstance(model, class_of("equinox", "Module")):
        result = Network(network.fn, model, ()).tree(leaves)
        candidate = network.like(result)
    else:
        result = network.tree(leaves)
        candidate = Network(model, result, arguments)
    try:
        theirs = Program(candidate.function, candidate.leaves, candidate.inputs)
    except Exception as error:
        error.add_note(_advice(sizes))
        raise
    difference = first_difference(small, theirs)
    if difference is not None:
        raise ValueError(
            f"with the small params the model computes something else than the small network: {difference}. "
            + _advice(sizes)
        )
    return result


def _advice(sizes: Sizes) -> str:
    return (
        "It keeps numbers from its old sizes: build it with the new ones and pass that, or go on with "
        f"`shrunk.apply`; shrunk.sizes: {dict(sizes)}"
    )


def _keras_model(model: Any, network: Network, leaves: Sequence[Any], sizes: Sizes) -> Any:
    """A Keras model that holds these leaves: this one, or a clone of it in the new sizes."""
    if network.keras is None:
        raise ValueError("what was shrunk is no Keras model: pass what was given to shrink, built small")
    small = dict(zip(network.paths, leaves, strict=True))
    ordered = [small[path] for path in keras_variables(network.keras)]
    if (
        _misfit(model, ordered) is not None
        and _misfit(model, list(keras_variables(network.keras).values())) is None
    ):
        model = _resized(model, sizes)
    misfit = _misfit(model, ordered)
    if misfit is not None:
        raise ValueError(f"{misfit} in the small network. {_advice(sizes)}")
    for variable, x in zip(keras_variables(model).values(), ordered, strict=True):
        variable.assign(x)
    return model


def _misfit(model: Any, arrays: Sequence[Any]) -> str | None:
    variables = keras_variables(model)
    if len(variables) != len(arrays):
        return f"the model has {len(variables)} variables, against {len(arrays)}"
    for (path, variable), x in zip(variables.items(), arrays, strict=True):
        if tuple(variable.shape) != tuple(x.shape):
            return f"the variable {path!r} has shape {tuple(variable.shape)}, against {tuple(x.shape)}"
    return None


def _resized(model: Any, sizes: Sizes) -> Any:
    import keras

    def resized(layer: Any) -> Any:
        config = layer.get_config()
        for variable in layer.weights:
            size = sizes.get(variable.path.rpartition("/")[0])
            config |= {name: size for name in FEATURES if name in config and isinstance(size, int)}
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=resized)
