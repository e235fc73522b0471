"""StrengthSchedule: strengths that change during training, with no recompilation."""

import math
from collections.abc import Callable
from typing import Any, final

import jax
import keras

from penalties._penalty.base import Penalty, plain
from penalties._penalty.strengths import is_number
from penalties.keras._backend import require_jax
from penalties.keras._bare import adopt
from penalties.keras._model_state import variable_in
from penalties.keras._optimizer import penalized_in
from penalties.keras._regularizer import Regularizer
from penalties.keras._weights import regularizers_of
from penalties.keras._wrapper import all_within


@final
class StrengthSchedule(keras.callbacks.Callback):
    """During `fit`, every strength of our penalties is multiplied by schedule(step).

    It acts on every regularizer of `penalties.keras` in the model, however it came there, on bare
    penalties in the place of one, and on `Penalized`. The factor is a variable in the model's state:
    nothing is compiled anew for a new value. During `fit` it holds for the validation data as well, so
    that `val_loss` has the factor of its epoch. After `fit` the factor is 1 again: a model is evaluated
    with the strengths it was made with, so let a schedule end at 1. A saved model, one from the middle
    of a `fit` included, is loaded with the factor 1. (A `fit` that ends in an error leaves the factor as
    it was in this model, until its next `fit` with a schedule.)

    Args:
        schedule: a function of the number of batches trained so far (an int, from 0, earlier calls
            of `fit` included) that returns a number ≥ 0: an optax schedule, a lambda, a Keras
            LearningRateSchedule.

    At the end of each epoch it logs, for the history and the progress bar, `strength_factor`, the
    last factor; and `strength`, where all penalties have one and the same.

    A new factor costs its batch what a callback does that reads the model; an unchanged one costs
    nothing.
    With `steps_per_execution` of more than 1 the factor changes once for each execution.

    Raises:
        TypeError: `schedule` is not a function.
        ValueError: in `fit`, if there is nothing to schedule, or a factor is not a finite number ≥ 0.
        RuntimeError: in `fit`, if Keras does not run on JAX.

    >>> import keras, numpy as np
    >>> from penalties.keras import L1, StrengthSchedule
    >>> layer = keras.layers.Dense(1, kernel_regularizer=L1(0.1))
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> model.compile("sgd", "mse")
    >>> warm_up = StrengthSchedule(lambda step: 0.25 * 2 ** (step // 2))
    >>> x, y = np.ones((4, 2)), np.ones(4)
    >>> history = model.fit(x, y, batch_size=2, epochs=3, callbacks=[warm_up], verbose=0)
    >>> history.history["strength"]
    [0.025, 0.05, 0.1]
    """

    def __init__(self, schedule: Callable[[int], Any]):
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                f"StrengthSchedule got {schedule!r} of type {type(schedule).__name__}: expected a function "
                "of the number of batches trained so far, such as lambda step: min(step / 1000, 1.0)"
            )
        self.schedule = schedule

    def set_model(self, model: Any) -> None:
        """Puts the factor into the model's state, before Keras looks at what is in there."""
        super().set_model(model)
        require_jax("penalties.keras.StrengthSchedule")
        adopt(model)
        regularizers = [r for r in regularizers_of(model) if isinstance(r, Regularizer)]
        self._optimizers = penalized_in(model.optimizer)
        if not regularizers and not self._optimizers:
            raise ValueError(
                "StrengthSchedule finds nothing to schedule: the model has no regularizer of "
                "penalties.keras, and its optimizer is not Penalized. Use "
                "kernel_regularizer=penalties.keras.L1(...), penalties.keras.attach or "
                "penalties.keras.Penalized; keras.regularizers have fixed strengths, and ToSparsity steers "
                "its own"
            )
        self._in_model = variable_in(model, "strength_factor", 1.0) if regularizers else None
        for regularizer in regularizers:
            regularizer._factor = self._in_model
        self._strength = _the_strength([p.penalty for p in (*regularizers, *self._optimizers)])
        self._factor = math.nan

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes how many batches were trained before this epoch."""
        model: Any = self.model
        batches_per_step = max(o.gradient_accumulation_steps or 1 for o in all_within(model.optimizer))
        self._before_epoch = int(model.optimizer.iterations) * batches_per_step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the factor of this batch."""
        step = self._before_epoch + batch
        factor = self.schedule(step)
        if not (is_number(factor) and jax.numpy.ndim(factor) == 0 and factor >= 0 and math.isfinite(factor)):
            raise ValueError(
                f"the schedule of StrengthSchedule returned {factor!r} for step {step}: expected a finite "
                "number ≥ 0, by which strengths are multiplied"
            )
        factor = float(factor)
        if factor != self._factor:
            self._set(factor)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs the factor, and the strength where there is but one."""
        if logs is not None:
            logs["strength_factor"] = self._factor
            if self._strength is not None:
                logs["strength"] = self._factor * self._strength

    def on_train_end(self, logs: Any = None) -> None:
        """Sets the factor to 1."""
        self._set(1.0)

    def _set(self, factor: float) -> None:
        _ = self.model  # reading it hands the state of a running `fit` back to the variables
        if self._in_model is not None:
            self._in_model.assign(factor)
        for optimizer in self._optimizers:
            optimizer.strength_factor.assign(factor)
        self._factor = factor


def _the_strength(penalties: list[Penalty]) -> float | None:
    strengths = jax.tree.leaves(penalties)
    if any(jax.numpy.ndim(strength) for strength in strengths):
        return None
    distinct = {plain(strength) for strength in strengths}
    return distinct.pop() if len(distinct) == 1 else None
