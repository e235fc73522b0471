"""Wrapper: an optimizer around another, as Keras takes it. What it does to gradients is its subclass's."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np

from penalties.keras import _internals


class Wrapper(_internals.AveragesInside):
    """A Keras optimizer that leaves learning rate, decay, clipping and averages to the one inside."""

    weight_decay = _internals.Inside()
    clipnorm = _internals.Inside()
    global_clipnorm = _internals.Inside()
    clipvalue = _internals.Inside()
    use_ema = _internals.Inside()
    ema_momentum = _internals.Inside()
    ema_overwrite_frequency = _internals.Inside()
    gradient_accumulation_steps = _internals.Inside()
    optimizers = _internals.Inside()  # of a MultiOptimizer

    def __init__(self, inner: Any, *, loss_scale_factor: float | None, name: str | None):
        # The scale of the loss is undone here, before gradients are averaged and compared with strengths.
        if loss_scale_factor is None:
            loss_scale_factor = inner.loss_scale_factor
        inner.loss_scale_factor = None
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        # The name by which Keras's callbacks find the optimizer in a wrapper.
        self.inner_optimizer = inner

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the variables of both optimizers."""
        self.inner_optimizer.build(variables)
        for optimizer in all_within(self.inner_optimizer):
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                _internals.show_averages(optimizer)
        _internals.remember(self, variables)

    def knows(self, variable: Any) -> bool:
        """Whether it was built with this variable."""
        return self.built and _internals.was_built_with(self, variable)

    def known(self, variables: Sequence[Any] | None) -> list[Any]:
        """The variables to train, of which each was there when it was built: now, if it was not.

        Raises:
            ValueError: there are none, or others than it was built with.
        """
        if variables is None:
            if not self.built:
                raise ValueError(
                    f"{type(self).__name__} is not built, so it does not know the variables: call "
                    "`optimizer.build(model.trainable_variables)` first, or pass them to `apply`"
                )
            return _internals.trained_by(self)
        variables = list(variables)
        if not self.built:
            with keras.name_scope(self.name, caller=self):
                self.build(variables)
        unknown = [variable.path for variable in variables if not self.knows(variable)]
        if unknown:
            raise ValueError(
                f"Unknown variable {unknown[0]!r}: this {type(self).__name__} was built with "
                f"{[variable.path for variable in _internals.trained_by(self)][:20]}, make a new one for "
                "others"
            )
        return variables

    def step_inside(self, grads: list[Any], variables: list[Any]) -> None:
        """One step of the inner optimizer."""
        inner = self.inner_optimizer
        if len(variables) < len(_internals.trained_by(self)):
            inner.apply(grads, variables)
            return
        # Stateless, for LossScaleOptimizer branches under jit and must not assign in a branch.
        ordered = sorted(zip(variables, grads, strict=True), key=lambda pair: self.position(pair[0]))
        new, state = inner.stateless_apply(
            [variable.value for variable in inner.variables],
            [gradient for _, gradient in ordered],
            [variable.value for variable, _ in ordered],
        )
        for variable, value in zip([v for v, _ in ordered] + inner.variables, [*new, *state], strict=True):
            self.assign(variable, value)

    def position(self, variable: Any) -> int:
        """Where a known variable stands among those it was built with."""
        return _internals.position_of(self, variable)

    @property
    def variables(self) -> list[Any]:
        """Its own variables, then those of the inner optimizer."""
        return _internals.own_variables(self) + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        """The number of steps the inner optimizer has made."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's; settable, if it is there."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def loss_scale_factor(self) -> float | None:
        """What the loss is multiplied and gradients are divided by, or None."""
        return self._scale

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: float | None) -> None:
        self._scale = factor
        # After construction an optimizer around sets it, which then scales the loss and asks none within.
        self._inner_scales = not hasattr(self, "inner_optimizer")

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale that the inner optimizer asks for."""
        loss = super().scale_loss(loss)
        return self.inner_optimizer.scale_loss(loss) if self._inner_scales else loss

    def scales(self) -> tuple[Any, Any]:
        """What gradients were multiplied by on their way here, and what the inner optimizer divides by."""
        own = jnp.float32(self.loss_scale_factor or 1.0)
        divides = self.inner_optimizer.scale_loss(jnp.ones((), jnp.float32))
        return own * divides if self._inner_scales else own, divides

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all `variables`, those of the inner optimizer included.

        Raises:
            ValueError: not built; another number of weights, or another shape.
        """
        variables = self.variables
        if not self.built:
            raise ValueError(
                f"You are calling `set_weights()` on a {type(self).__name__} that is not built: call "
                "`optimizer.build(model.trainable_variables)` first"
            )
        if [np.shape(w) for w in weights] != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"got {len(weights)} weights for the {len(variables)} variables of {type(self).__name__}, or "
                "of other shapes: pass one weight for each of `optimizer.variables`"
            )
        for variable, weight in zip(variables, weights, strict=True):
            self.assign(variable, weight)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Gives the weights their final values: with EMA, their averages."""
        self.inner_optimizer.finalize_variable_values(var_list)
        if averaging_within(self):
            for variable in var_list:
                # Not the very buffer of the average: a second `fit` would donate it twice, and fail.
                self.assign(variable, keras.ops.copy(variable))

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Of the inner optimizer's weight decay."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)


def optimizer_in(optimizer: Any, wrapper: str) -> keras.optimizers.Optimizer:
    """The Keras optimizer of this name, or itself.

    Raises:
        TypeError: it is none; the error names the wrapper that got it.
    """
    inner = keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(inner, keras.optimizers.Optimizer):
        raise TypeError(
            f"{wrapper} got the optimizer {optimizer!r} of type {type(optimizer).__name__}: expected "
            "a Keras optimizer such as keras.optimizers.Adam(1e-3); for optax there is "
            "penalties.penalized"
        )
    return inner


def all_within(optimizer: Any) -> list[Any]:
    """The optimizer, and all that it wraps, outermost first."""
    if hasattr(optimizer, "inner_optimizer"):
        inner = [optimizer.inner_optimizer]
    else:
        inner = getattr(optimizer, "optimizers", [])  # of a MultiOptimizer
    return [optimizer, *(each for one in inner for each in all_within(one))]


def averaging_within(optimizer: Any) -> list[Any]:
    """The optimizers within that keep moving averages (EMA) of their weights."""
    return [
        each
        for each in all_within(optimizer)
        # One that got no weight from its MultiOptimizer is never built.
        if not isinstance(each, Wrapper) and each.use_ema and each.built
    ]
