"""SparsityLogger: exact zeros and the penalty's value in the training log."""

import math
from collections.abc import Callable
from typing import Any, final

import keras
import numpy as np

from penalties._penalty.parts import Part
from penalties.keras._backend import on_jax
from penalties.keras._internals import additional_losses_held_back, value_in_step
from penalties.keras._model_state import as_in_a_step, variable_in
from penalties.keras._penalizing import penalizing_in
from penalties.keras._to_sparsity import to_sparsity_in
from penalties.keras._weights import regularizers_of


@final
class SparsityLogger(keras.callbacks.Callback):
    """Adds exact zeros and the penalty's value to the history and the progress bar of each epoch.

    ================= ===================================================================
    `zeros`           share of the penalized weights that are exactly zero, in [0, 1]
    `penalty`         R(weights) at the end of the epoch, of all regularizers of weights and
                      of `Penalized` and `ToSparsity`
    `data_loss`       the compiled loss alone, averaged as Keras averages the `loss`, which
                      is the sum of it and what regularizers and `add_loss` add; in models
                      with regularizers and Keras's own `compute_loss`. With `Penalized`
                      alone the `loss` is that of the data already
    `val_data_loss`   the same of the validation data
    `zeros/<path>`    share of zeros of each penalized weight, with `per_weight=True`
    `zero_units`      of `ToSparsity`: share of its units, weights or groups, that are zero
    `target`          the share of them that is to be zero by now
    `strength_factor` what its penalty is multiplied by, on the weight where that is most
    ================= ===================================================================

    Callbacks that read these entries, such as CSVLogger or `EarlyStopping("val_data_loss", mode="min")`,
    come after it in the list.

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
        """Makes room in the model's state for an account of the loss of the data."""
        super().set_model(model)
        self._account = (
            _account_in(model) if regularizers_of(model) and _keras_computes_the_loss(model) else None
        )
        self._of_validation: float | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Has the model keep the account, while it trains."""
        if self._account is not None:
            self._account.open()

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the model's `compute_loss` as it was."""
        if self._account is not None:
            self._account.close()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the account of an epoch."""
        self._of_validation = None
        self._start("training")

    def on_test_begin(self, logs: Any = None) -> None:
        """Starts the account of the validation data."""
        self._start("tests")

    def on_test_end(self, logs: Any = None) -> None:
        """Closes it."""
        self._of_validation = self._mean("tests")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the entries to the logs."""
        if logs is None:
            return
        entries = _penalized_weights(self.model)
        if not entries:
            raise ValueError(
                "SparsityLogger finds no penalized weight: the model has no regularizer of weights, and its "
                "optimizer is neither Penalized nor ToSparsity of penalties.keras"
            )
        weights = list(
            {id(variable): variable for variables, _ in entries for variable in variables}.values()
        )
        sizes = [math.prod(variable.shape) for variable in weights]
        nonzeros = [keras.ops.count_nonzero(keras.ops.convert_to_tensor(w)) for w in weights]
        zeros = [size - int(count) for size, count in zip(sizes, nonzeros, strict=True)]  # type: ignore[arg-type]
        logs["zeros"] = sum(zeros) / max(sum(sizes), 1)
        with as_in_a_step(self.model):
            values: Any = [keras.ops.convert_to_numpy(penalty(*variables)) for variables, penalty in entries]
        logs["penalty"] = float(sum(values))
        model: Any = self.model
        for optimizer in to_sparsity_in(model.optimizer):
            logs.update(optimizer.progress())
        for name, mean in (("data_loss", self._mean("training")), ("val_data_loss", self._of_validation)):
            if mean is not None:
                logs[name] = mean
        if self.per_weight:
            for variable, size, zero in zip(weights, sizes, zeros, strict=True):
                logs[f"zeros/{variable.path}"] = zero / max(size, 1)

    def _start(self, which: str) -> None:
        if self._account is not None:
            _ = self.model  # reading it hands the state of a running `fit` back to the variables
            self._account.tallies[which].assign([0.0, 0.0])

    def _mean(self, which: str) -> float | None:
        if self._account is None:
            return None
        _ = self.model
        tally = keras.ops.convert_to_tensor(self._account.tallies[which])
        total, samples = np.asarray(keras.ops.convert_to_numpy(tally))
        return float(total / samples) if samples else None


def _penalized_weights(model: Any) -> list[tuple[list[Any], Callable[..., Any]]]:
    """What is penalized, most often one weight, and what its penalty is, as a function of it."""
    entries: list[tuple[list[Any], Callable[..., Any]]] = [
        ([v], v.regularizer) for v in model.trainable_variables if v.regularizer is not None
    ]
    for optimizer in penalizing_in(model.optimizer):
        known = [v for v in model.trainable_variables if optimizer.knows(v)]
        entries += [([known[i] for i in part.at], _value_of(part)) for part in optimizer.parts_of(known)]
    return entries


def _value_of(part: Part) -> Callable[..., Any]:
    """The penalty of a part, as a function of its variables."""

    def value(*variables: Any) -> Any:
        weights: Any = tuple(keras.ops.convert_to_tensor(variable) for variable in variables)
        return part.penalty.value_of_leaf(weights if part.is_joint else weights[0])

    return value


def _keras_computes_the_loss(model: Any) -> bool:
    """And no `compute_loss` of a user's own, which may do more to the sum than Keras does."""
    # An account may be left from a `fit` that ended in an error.
    own = isinstance(vars(model).get("compute_loss"), (type(None), _Account))
    return own and type(model).compute_loss is keras.Model.compute_loss


def _account_in(model: Any) -> "_Account":
    account = vars(model).get("_data_loss_account")
    if account is None:
        account = vars(model)["_data_loss_account"] = _Account(model)
    account.forget_functions_without_it()
    return account


class _Account:
    """The loss of the data, tallied by a model's `compute_loss`: (sum over samples, samples).

    What Keras adds to it, regularizers and the like, passes through one hook, where it is held back
    and added afterwards: taken off the whole, a small loss would drown in a large penalty.
    """

    def __init__(self, model: Any):
        self._model = model
        self._functions: list[Any] = []
        self.tallies = {
            which: variable_in(model, f"data_loss_in_{which}", [0.0, 0.0]) for which in ("training", "tests")
        }

    def forget_functions_without_it(self) -> None:
        """Has Keras compile anew what it compiled while the account was closed."""
        model = self._model
        if "compute_loss" in vars(model):
            return  # it is open: this is a call within a running `fit`
        for name in ("train_function", "test_function"):
            if not any(getattr(model, name) is function for function in self._functions):
                setattr(model, name, None)

    def open(self) -> None:
        """Puts this in the place of the model's `compute_loss`."""
        # Past Keras's and NNX's ways of setting attributes, which are not for the middle of a step.
        vars(self._model)["compute_loss"] = self

    def close(self) -> None:
        """Gives the model its own back."""
        vars(self._model).pop("compute_loss", None)
        # What was compiled by now keeps the account, also of a `fit` that reads none.
        self._functions = [self._model.train_function, self._model.test_function]

    def __call__(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """As `keras.Model.compute_loss`."""
        model = self._model
        with additional_losses_held_back(model) as held_back:
            loss = type(model).compute_loss(model, x, y, y_pred, sample_weight, training=training)
        self._add(loss, x, self.tallies["training" if training else "tests"])
        return loss + keras.ops.sum(keras.ops.stack(held_back)) if held_back else loss

    def _add(self, loss: Any, x: Any, tally: Any) -> None:
        if on_jax() and value_in_step(tally) is None:
            return  # called by a user, in whose compiled function nothing can be assigned
        ops: Any = keras.ops
        sizes = (ops.shape(leaf)[0] for leaf in keras.tree.flatten(x) if leaf is not None)
        samples = ops.cast(next(sizes, 1), tally.dtype)
        of_the_data = ops.stop_gradient(ops.cast(loss, tally.dtype))
        tally.assign_add(ops.stack([samples * of_the_data, samples]))
