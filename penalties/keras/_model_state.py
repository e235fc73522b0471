"""Variables of our own as one more piece of a model's state.

They are kept as Keras keeps the states of random generators: passed through the compiled step, where
they are read and assigned like any other, but not saved, and no weight of a layer.
"""

from typing import Any

import keras


class _Holder:
    def __init__(self, name: str, initial: Any):
        self.name = name
        self.state = keras.Variable(initial, dtype="float32", trainable=False, name=name)


def variable_in(model: Any, name: str, initial: Any) -> Any:
    """The model's float32 variable of this name; made, with its initial value, if there is none."""
    for holder in model._seed_generators:
        if isinstance(holder, _Holder) and holder.name == name:
            return holder.state
    holder = _Holder(name, initial)
    model._seed_generators.append(holder)
    # They were made for a state without it.
    model.train_function = model.test_function = model.predict_function = None
    return holder.state
