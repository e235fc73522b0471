"""A bare penalty as a Keras regularizer: `Dense(kernel_regularizer=penalties.L1(0.01))`.

Keras calls it on the weight, for which it needs nothing. A file is another matter: there it is the
`Regularizer` around it, and comes back as one.
"""

from typing import Any

import keras

from penalties._penalty.base import Penalty
from penalties.keras._internals import all_layers
from penalties.keras._regularizer import Regularizer


def adopt(model: Any) -> None:
    """Puts a Regularizer in the place of every bare penalty on the weights and outputs of a model."""
    for variable in model.trainable_variables:
        if isinstance(variable.regularizer, Penalty):
            variable.regularizer = Regularizer(variable.regularizer)
    for layer in all_layers(model):
        if isinstance(layer.activity_regularizer, Penalty):
            layer.activity_regularizer = Regularizer(layer.activity_regularizer)


def regularizer_of(found: Any) -> Any:
    """A bare penalty's Regularizer; anything else as it is."""
    return Regularizer(found) if isinstance(found, Penalty) else found


def _get_config(penalty: Penalty) -> dict[str, Any]:
    """What Keras writes to a file for a penalty that is used as a regularizer.

    Raises:
        ValueError: it has a selection (`.on(...)`).
    """
    # Under the name of Regularizer, whose `from_config` is to be found under it: registered last.
    register = keras.saving.register_keras_serializable("penalties", "Regularizer")
    register(type(penalty))
    register(Regularizer)
    return Regularizer(penalty).get_config()


# Keras asks an object itself for its config; nothing of that is in the class, which knows no Keras.
setattr(Penalty, "get_config", _get_config)  # noqa: B010
