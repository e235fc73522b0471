"""Variables of our own as one more piece of a model's state.

They are kept as Keras keeps the states of random generators: passed through the compiled step, where
they are read and assigned like any other, but not saved, and no weight of a layer.
"""

from typing import Any

import keras

from penalties.keras._internals import random_states


class _Holder:
    def __init__(self, name: str, initial: Any):
        self.name = name
        self.state = keras.Variable(initial, dtype=state_dtype(), trainable=False, name=name)


def state_dtype() -> str:
    """float32; float64 where Keras computes in it."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


def variable_in(model: Any, name: str, initial: Any) -> Any:
    """The model's variable of this name; made, with its initial value, if there is none."""
    for holder in _holders(model):
        if holder.name == name:
            return holder.state
    holder = _Holder(name, initial)
    random_states(model).append(holder)
    # They were made for a state without it.
    model.train_function = model.test_function = model.predict_function = None
    return holder.state


def as_in_a_step(model: Any) -> keras.StatelessScope:
    """A context in which our variables of this model are what they would be in its next step."""
    own = [holder.state for holder in _holders(model)]
    return keras.StatelessScope(state_mapping=[(variable, variable.value) for variable in own])


def _holders(model: Any) -> list[_Holder]:
    return [holder for holder in random_states(model) if isinstance(holder, _Holder)]
