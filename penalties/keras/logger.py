"""SparsityLogger: exact zeros and the penalty's value in the training log."""

import inspect
import math
from collections.abc import Callable
from typing import Any, final

import keras
import numpy as np

from penalties.keras._model_state import variable_in
from penalties.keras._weights import regularizers_of
from penalties.keras.optimizer import penalized_in
from penalties.keras.regularizers import Regularizer


@final
class SparsityLogger(keras.callbacks.Callback):
    """Adds exact zeros and the penalty's value to the history and the progress bar of each epoch.

    =============== =====================================================================
    `zeros`         share of the penalized weights that are exactly zero, in [0, 1]
    `penalty`       R(weights) at the end of the epoch, of all regularizers of weights and
                    of `Penalized`
    `data_loss`     the `loss` without what regularizers add to it, averaged as Keras
                    averages the `loss`; in models with regularizers (and no `compute_loss`
                    of their own without the argument `training`). With `Penalized` alone
                    the `loss` is that of the data already
    `val_data_loss` the same of the validation data
    `zeros/<path>`  share of zeros of each penalized weight, with `per_weight=True`
    =============== =====================================================================

    Callbacks that read these entries, such as EarlyStopping or CSVLogger, come after it in the list.

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
    {'loss': [0.0], 'zeros': [1.0], 'penalty': [0.0], 'data_loss': [0.0]}
    """

    def __init__(self, *, per_weight: bool = False):
        super().__init__()
        self.per_weight = per_weight

    def set_model(self, model: Any) -> None:
        """Has the model keep account of the loss of the data, if its `loss` is more than that."""
        super().set_model(model)
        self._tallies = _tallies_in(model) if regularizers_of(model) else {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the account of an epoch."""
        if self._tallies:
            _ = self.model  # reading it hands the state of a running `fit` back to the variables
            for tally in self._tallies.values():
                tally.assign([0.0, 0.0])

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
        logs["penalty"] = sum(float(keras.ops.convert_to_numpy(p(v))) for v, p in entries)  # type: ignore[arg-type]
        for name, tally in self._tallies.items():
            total, samples = np.asarray(keras.ops.convert_to_numpy(tally))
            if samples:
                logs[name] = float(total / samples)
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


def _tallies_in(model: Any) -> dict[str, Any]:
    """Of training and of tests: (sum over samples of the data's loss, samples), by the name in the log."""
    if isinstance(model.compute_loss, _Tallied):
        return model.compute_loss.tallies
    if "training" not in inspect.signature(model.compute_loss).parameters:
        return {}
    tallies = {name: variable_in(model, name, [0.0, 0.0]) for name in ("data_loss", "val_data_loss")}
    model.compute_loss = _Tallied(model, tallies)
    return tallies


class _Tallied:
    """A model's `compute_loss`, which also tallies what of the loss is the data's."""

    def __init__(self, model: Any, tallies: dict[str, Any]):
        self._model, self._compute_loss = model, model.compute_loss
        self.tallies = tallies

    def __call__(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = self._compute_loss(x, y, y_pred, sample_weight, training=training)
        ops: Any = keras.ops
        added = sum(ops.sum(ops.cast(each, "float32")) for each in self._model.losses)
        sizes = (ops.shape(leaf)[0] for leaf in keras.tree.flatten(x) if leaf is not None)
        samples = ops.cast(next(sizes, 1), "float32")
        of_the_data = ops.stop_gradient(ops.cast(loss, "float32") - added)
        tally = self.tallies["data_loss" if training else "val_data_loss"]
        tally.assign_add(ops.stack([samples * of_the_data, samples]))
        return loss
