"""SparsityLogger: exact zeros and the penalty's value in the training log."""

import math
from collections.abc import Callable
from typing import Any, final

import keras

from penalties.keras.optimizer import penalized_in
from penalties.keras.regularizers import Regularizer


@final
class SparsityLogger(keras.callbacks.Callback):
    """Adds exact zeros and the penalty's value to the history and the progress bar of each epoch.

    ============== ======================================================================
    `zeros`        share of the penalized weights that are exactly zero, in [0, 1]
    `penalty`      R(weights) at the end of the epoch, of all regularizers of weights and
                   of `Penalized`
    `zeros/<path>` of each penalized weight, with `per_weight=True`
    ============== ======================================================================

    With `Penalized` the `loss` that Keras logs is that of the data alone. With regularizers it holds
    their penalty as well, averaged over the epoch; compile with `metrics=[loss]` to see the data's.

    Args:
        per_weight: also log the share of zeros of each penalized weight.

    Raises:
        ValueError: in `fit`, if no weight of the model is penalized.

    >>> import keras, numpy as np
    >>> from penalties.keras import L1, SparsityLogger
    >>> layer = keras.layers.Dense(1, kernel_initializer="zeros", kernel_regularizer=L1(0.1))
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((4, 2)), np.zeros(4), callbacks=[SparsityLogger()], verbose=0)
    >>> history.history
    {'loss': [0.0], 'zeros': [1.0], 'penalty': [0.0]}
    """

    def __init__(self, *, per_weight: bool = False):
        super().__init__()
        self.per_weight = per_weight

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the entries to the logs."""
        if logs is None:
            return
        entries = _penalized_weights(self.model)
        if not entries:
            raise ValueError(
                "SparsityLogger finds no penalized weight: the model has no regularizer of weights, and its "
                "optimizer is not penalties.keras.Penalized"
            )
        weights = list({id(variable): variable for variable, _ in entries}.values())
        sizes = [math.prod(variable.shape) for variable in weights]
        nonzeros = [keras.ops.count_nonzero(keras.ops.convert_to_tensor(w)) for w in weights]
        zeros = [size - int(count) for size, count in zip(sizes, nonzeros, strict=True)]  # type: ignore[arg-type]
        logs["zeros"] = sum(zeros) / max(sum(sizes), 1)
        logs["penalty"] = sum(float(penalty(variable)) for variable, penalty in entries)
        if self.per_weight:
            for variable, size, zero in zip(weights, sizes, zeros, strict=True):
                logs[f"zeros/{variable.path}"] = zero / max(size, 1)


def _penalized_weights(model: Any) -> list[tuple[Any, Callable[[Any], Any]]]:
    """Each penalized weight, and what its penalty is, as a function of it."""
    entries = [(v, v.regularizer) for v in model.trainable_variables if v.regularizer is not None]
    optimizer = penalized_in(model.optimizer)
    if optimizer is not None:
        parts = [(v, optimizer.penalty_of(v)) for v in model.trainable_variables]
        entries += [(v, Regularizer(part)) for v, part in parts if part is not None]
    return entries
