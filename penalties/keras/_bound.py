"""BoundPenalty: the penalty of a built optimizer, part by part, with strengths that can be changed."""

from collections.abc import Sequence
from typing import Any

import jax
import keras

from penalties._penalty.base import Penalty, check_penalty
from penalties._penalty.constraint import Constraint
from penalties._penalty.parts import Part
from penalties._penalty.settling import SettlingPenalty
from penalties.keras import _weights
from penalties.keras._model_state import state_dtype


class BoundPenalty:
    """A penalty bound to the variables of an optimizer.

    Strengths are constants of the compiled step until they are changed, and variables from then on:
    most are never changed.
    """

    def __init__(self, penalty: Penalty, variables: Sequence[Any], paths: Sequence[str], *, defer: bool):
        """Binds it. What is wrong is raised now, or, to be deferred, by `parts`."""
        self._penalty = penalty
        self._leaves = _weights.leaves(variables, paths)
        self._wrong: Exception | None = None
        self.variables: list[Any] = []
        """The strengths, once they are variables."""
        try:
            self._parts = _weights.bind_parts_constant(penalty, self._leaves)
        except (TypeError, ValueError) as error:
            if not defer:
                raise
            self._parts, self._wrong = [], error

    def parts(self) -> list[Part]:
        """The penalty by variables of the optimizer, with the strengths of now."""
        if self._wrong is not None:
            raise self._wrong
        if not self.variables:
            return self._parts
        treedef = jax.tree.structure(self._penalty)
        return _weights.bind_parts(treedef.unflatten([v.value for v in self.variables]), self._leaves)

    def needs_average(self) -> list[bool]:
        """For each variable, whether its penalty has a kink."""
        kinked = {i for part in self._parts if part.penalty.kink for i in part.at}
        return [i in kinked for i in range(len(self._leaves))]

    def change(self, penalty: Penalty) -> None:
        """Makes the strengths those of `penalty`, a penalty built as the first one was.

        Raises:
            ValueError: it was built in another way.
        """
        if _shape(penalty) != _shape(self._penalty):
            raise ValueError(
                f"a Penalized that is built can be given other strengths, but {penalty!r} is another penalty "
                f"than {self._penalty!r}, or on other weights: compile the model anew, with "
                "model.compile(Penalized(optimizer, penalty), ...)"
            )
        self.make_variable()
        for variable, strength in zip(self.variables, jax.tree.leaves(penalty), strict=True):
            variable.assign(strength)

    def make_variable(self) -> None:
        """Makes variables of the strengths, if they are none yet."""
        if not self.variables:
            self.variables = [
                keras.Variable(strength, dtype=state_dtype(), trainable=False, name=f"strength_{i}")
                for i, strength in enumerate(jax.tree.leaves(self._penalty))
            ]


def _shape(penalty: Penalty) -> Any:
    leaves, treedef = jax.tree.flatten(penalty)
    return treedef, [jax.numpy.shape(leaf) for leaf in leaves]


def check_trainable(penalty: Any) -> None:
    """Raises TypeError for what Penalized cannot train with."""
    schedule = (
        "; for strengths that change give the penalty here, and to `fit` the factors: "
        "callbacks=[penalties.keras.StrengthSchedule(lambda step: ...)]"
    )
    is_function: bool = callable(penalty)
    check_penalty(penalty, "Penalized's penalty", schedule if is_function else "")
    check_rule(penalty, "Penalized")


def check_rule(penalty: Penalty, wrapper: str) -> None:
    """Raises TypeError, with the ways there are in Keras, if a term has no rule for exact zeros."""
    for atom, _ in penalty.atoms():
        if isinstance(atom, Constraint):
            raise TypeError(
                f"{wrapper} got the constraint {atom!r}, which is kept by projections: pass "
                "kernel_constraint=penalties.keras.Constraint(...) to the layers, whose zeros "
                f"{wrapper} keeps"
            )
        if not isinstance(atom, SettlingPenalty):
            in_the_loss = "; or, without exact zeros, kernel_regularizer=penalties.keras.Regularizer(...)"
            raise TypeError(
                f"{wrapper} got {atom!r}, which has no rule by which exact zeros are reached: use a penalty "
                "that has one, such as L1, GroupLasso or LogSum(strength, epsilon=...); "
                "kernel_constraint=penalties.keras.Constraint(penalties.Sparse(count)); "
                "penalties.keras.ToSparsity(optimizer, penalties.L1(1.0), target, steps)"
                + ("" if atom.flat else in_the_loss)
            )


def same_but_for_the_beginning(saved: list[str], here: list[str]) -> bool:
    """Whether these are the paths of one model: Keras leaves the name of some out when it loads them."""
    return len(saved) == len(here) and all(
        f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")
        for one, other in zip(saved, here, strict=True)
    )
