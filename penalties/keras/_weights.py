"""The weights of a Keras model as leaves that a penalty can select, by their Keras paths."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from penalties._penalty import binding
from penalties._penalty.base import Penalty
from penalties._penalty.parts import Part
from penalties._tree.keras_variables import keras_keys
from penalties._tree.paths import Leaf
from penalties.keras._internals import all_layers


def leaves(variables: Sequence[Any], paths: Sequence[str] | None = None) -> list[Leaf]:
    """The variables as leaves, by their own paths or by those given.

    Without values, so that it also works on other backends than JAX.
    """
    keys = keras_keys(variables, [variable.path for variable in variables] if paths is None else paths)
    return [
        Leaf(key.name, _placeholder(variable), key.trainable, None, "", key.also)
        for variable, key in zip(variables, keys, strict=True)
    ]


def bind_parts(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Part]:
    """The penalty taken apart into what is worked on by itself, strengths filled in for it.

    Raises what a selection that matches nothing raises.
    """
    with _note_of_frozen_weights():
        return binding.bind_parts(penalty, leaves)


def bind_parts_constant(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Part]:
    """`bind_parts` of strengths that are numbers, also while something is traced, as at a build."""
    with jax.ensure_compile_time_eval():
        return bind_parts(penalty, leaves)


def bind_constant(penalty: Penalty, leaves: Sequence[Leaf]) -> list[Penalty | None]:
    """For each leaf its penalty, strengths that are numbers filled in for it; None where there is none."""
    with jax.ensure_compile_time_eval(), _note_of_frozen_weights():
        return binding.bind(penalty, leaves)


@contextlib.contextmanager
def _note_of_frozen_weights() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        error.add_note("Frozen weights (trainable = False) are not among the leaves.")
        raise


def _placeholder(variable: Any) -> jax.ShapeDtypeStruct:
    dtype = jnp.dtype(keras.backend.standardize_dtype(variable.dtype))
    return jax.ShapeDtypeStruct(tuple(variable.shape), dtype)


def regularizers_of(model: Any) -> list[Any]:
    """All regularizers of a model's trainable weights and of its layers' outputs, each once."""
    found = [variable.regularizer for variable in model.trainable_variables]
    found += [layer.activity_regularizer for layer in all_layers(model)]
    return list({id(regularizer): regularizer for regularizer in found if regularizer is not None}.values())
