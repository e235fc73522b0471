"""Names for what public functions take."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import chex

    Params = chex.ArrayTree | Any
    """A pytree of arrays, or what holds one: an NNX or Equinox module, a Keras model, its variables."""

    Numeric = chex.Numeric
    """A number, or an array of numbers."""

    Step = chex.Numeric | chex.ArrayTree
    """A number ≥ 0, an array that broadcasts to each leaf, or a tree like the params of these."""
else:  # importing chex takes twice as long as importing all of this package
    Params = Numeric = Step = Any
