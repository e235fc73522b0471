"""Variables of our own as one more piece of a model's state.

They are kept as Keras keeps the states of random generators: passed through the compiled step, where
they are read and assigned like any other, but not saved, and no weight of a layer.
"""

from typing import Any

import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope  # there is no public one


class _Holder:
    def __init__(self, name: str, initial: Any):
        self.name = name
        self.state = keras.Variable(initial, dtype=state_dtype(), trainable=False, name=name)


def state_dtype() -> str:
    """float32; float64 where Keras computes in it."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


def variable_in(model: Any, name: str, initial: Any) -> Any:
    """The model's variable of this name; made, with its initial value, if there is none."""
    for holder in model._seed_generators:
        if isinstance(holder, _Holder) and holder.name == name:
            return holder.state
    holder = _Holder(name, initial)
    model._seed_generators.append(holder)
    # They were made for a state without it.
    model.train_function = model.test_function = model.predict_function = None
    return holder.state


def as_in_a_step(model: Any) -> keras.StatelessScope:
    """A context in which our variables of this model are what they would be in its next step."""
    own = [holder.state for holder in model._seed_generators if isinstance(holder, _Holder)]
    return keras.StatelessScope(state_mapping=[(variable, variable.value) for variable in own])


def value_in_step(variable: Any) -> Any:
    """What the variable is in the step that is being traced or run; None elsewhere.

    Elsewhere means: in another model's step, and outside of any. What is compiled there would have
    the value of now for good.
    """
    scope = get_stateless_scope()
    return None if scope is None else scope.get_current_value(variable)
