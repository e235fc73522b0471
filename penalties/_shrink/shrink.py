"""A network without its dead units: `shrink`."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from penalties._shrink.along import cut_along
from penalties._shrink.analysis import Analysis, Masks
from penalties._shrink.couplings import Couplings, described
from penalties._shrink.cut import Cut, take
from penalties._shrink.into import with_small_params
from penalties._shrink.networks import Network
from penalties._shrink.program import Program
from penalties._shrink.report import ShrinkReport, measured
from penalties._shrink.sizes import sizes_of
from penalties._tree.types import Params

T = TypeVar("T")


def shrink(fn: Any, params: Params, *inputs: Params, fold: bool = True) -> "Shrunk":
    """The same network without its dead units: smaller arrays, the same outputs.

    A unit (a neuron, a channel, a head, a position of a residual stream: see `couplings`) is dead if
    what it adds to every sum is known to be 0 whatever the input is: for its incoming or its outgoing
    weights are 0, a negative bias keeps a ReLU shut, or all that it feeds is dead. One that sends on a
    constant is dead once the next bias has taken the constant over (`fold`). The outputs are the same up
    to the order of sums, for all inputs for which the large network has finite values; where a
    primitive is not understood, nothing that it touches is cut.

    Args:
        fn: a function of params and inputs, such as Linen's `model.apply`. A Flax NNX, Equinox or Keras
            model can stand in its place, and holds its params: `shrink(model, x)`. NNX modules are
            taken in evaluation mode, Keras models with `training=False`.
        params: any pytree of arrays. It is not changed.
        *inputs: arrays, or `jax.ShapeDtypeStruct`s; a small batch will do. Arguments that are no arrays
            belong to the function.
        fold: whether constants are moved into biases.

    Returns:
        A `Shrunk`: `params`, `apply(params, *inputs)`, `along(tree)`, `into(model)`, `kept`, `sizes`,
        `report`.

    Raises:
        ValueError: params hold NaN or were donated; the function has side effects, draws random
            numbers, or updates its own variables, as in training; whatever the function raises.
        TypeError: params are traced: call it outside jit, grad and vmap.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import shrink
    >>> def network(params, x):
    ...     return jax.nn.relu(x @ params["w"] + params["b"]) @ params["v"]
    >>> params = {"w": jnp.ones((3, 8)).at[:, 2:].set(0), "b": jnp.zeros(8), "v": jnp.ones((8, 2))}
    >>> small = shrink(network, params, jnp.ones((1, 3)))
    >>> {name: leaf.shape for name, leaf in small.params.items()}
    {'b': (2,), 'v': (2, 2), 'w': (3, 2)}
    >>> x = jnp.ones((5, 3))
    >>> bool(jnp.allclose(small.apply(small.params, x), network(params, x)))
    True
    """
    network = Network(fn, params, inputs)
    _check(network)
    with _advice():
        analysis = Analysis(network)
    dead, amounts = analysis.choose(fold)
    return Shrunk(analysis, dead, amounts)


@final
class Shrunk:
    """A network without its dead units: what `shrink` returns.

    Attributes:
        params: a tree like the params, with smaller leaves; of an NNX module its state, of a Keras
            model a dict of its variables by path.
        couplings: the classes of units of the large network.
        kept: for each class, by its name, the numbers of the units that stay, in their order.
        sizes: for each layer, by its path, how many features it has now.
        report: what was saved; prints as a table.

    >>> import jax.numpy as jnp
    >>> from penalties import shrink
    >>> params = [jnp.array([[1.0, 0.0, 2.0]]), jnp.array([[1.0], [1.0], [1.0]])]
    >>> small = shrink(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 1)))
    >>> small.kept
    {'0 axis 1': array([0, 2])}
    >>> small.sizes
    {'0': 2, '1': 1}
    """

    def __init__(self, analysis: Analysis, dead: np.ndarray, amounts: dict[int, np.ndarray]):
        self._network, coupling = analysis.network, analysis.coupling
        keep = analysis.keep(dead)
        self._masks: Masks = analysis.masks(keep)
        self._amounts = amounts
        self._cuts = {self._network.signature: Cut(coupling, keep)}
        self.couplings: Couplings = described(coupling, analysis.units, self._network)
        self.params: Any = self._network.tree(self._small_leaves())
        classes = enumerate(self.couplings)
        self.kept: Mapping[str, np.ndarray] = {
            found.name: np.flatnonzero(~dead[analysis.units.classes == c]) for c, found in classes
        }
        shapes = [x.shape for x in self._network.leaves_of(self.params)]
        self.sizes: Mapping[str, int | tuple[int, ...]] = sizes_of(coupling, self._network.paths, shapes)
        units = {c.name: (c.units, len(self.kept[c.name])) for c in self.couplings}
        self.report: ShrinkReport = measured(
            self._network, analysis.coupling, keep, units, self.apply, self.params
        )

    def apply(self, params: Params, *inputs: Params) -> Any:
        """The outputs of the small network, for params like `self.params`.

        Works under jit, grad and vmap; functions with derivatives of their own (`jax.custom_jvp`,
        `jax.custom_vjp`), other than `jax.nn.relu`, are differentiated as what they compute. The function
        is traced once for each shape of the inputs, and it is checked that what was cut is dead at that
        shape as well.

        Raises:
            ValueError: params do not fit; at these shapes the function needs what was cut.
        """
        leaves = self._network.leaves_of(params)
        for path, leaf, mask in zip(self._network.paths, leaves, self._masks, strict=True):
            expected = tuple(int(stay.sum()) for stay in mask)
            if tuple(leaf.shape) != expected:
                raise ValueError(
                    f"the leaf {path!r} has shape {tuple(leaf.shape)}, and in the small network {expected}: "
                    "pass params like `shrunk.params`"
                )
        network = self._network.with_inputs(inputs)
        if network.signature not in self._cuts:
            _check(network)
            analysis = Analysis(network)
            keep = analysis.check(self._masks, self._amounts)
            self._cuts[network.signature] = Cut(analysis.coupling, keep)
        return self._cuts[network.signature](leaves, network.inputs)

    def along(self, tree: T) -> T:
        """A tree that goes along with the large params, cut as they were.

        For optimizer states, averages of params and masks: every leaf is cut whose path ends with that
        of a leaf of the params; counters and all other leaves stay as they are. Constants of dead units
        are moved into biases in `params` alone. A `Coupled` penalty becomes one of the units
        that stay, whose |u| are the weights that they have left.

        Raises:
            ValueError: no leaf has such a path; one that has is of another shape, as the factored
                moments of Adafactor.

        >>> import jax.numpy as jnp, optax
        >>> from penalties import shrink
        >>> params = [jnp.array([[1.0, 0.0, 2.0]]), jnp.array([[1.0], [1.0], [1.0]])]
        >>> small = shrink(lambda w, x: x @ w[0] @ w[1], params, jnp.ones((1, 1)))
        >>> [moment.shape for moment in small.along(optax.adam(0.1).init(params))[0].mu]
        [(1, 2), (2, 1)]
        """
        shapes = [tuple(x.shape) for x in self._network.leaves]
        return cut_along(tree, self._network.paths, shapes, self._masks)

    def into(self, model: Any) -> Any:
        """The small params in a model, if it computes the small network.

        The model is traced with the small params, and has to be the small network equation by equation:
        many layers keep numbers from their old sizes (a norm its count, attention its heads) and would
        be silently wrong.

        Args:
            model: the old model, or one that was built with `sizes`. NNX and Equinox modules: a new one
                that holds the small params is returned, and `nnx.update(old, nnx.state(new))` changes the
                old one in place. Keras models: one built small gets the weights; of an old one a clone with
                the new units and filters is made. Linen modules and functions: the params that go with them.

        Raises:
            ValueError: it computes something else; the message names the equation, and the sizes to
                build it with.

        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from penalties import shrink
        >>> class MLP(nnx.Module):
        ...     def __init__(self, rngs):
        ...         self.first, self.last = nnx.Linear(2, 8, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)
        ...     def __call__(self, x):
        ...         return self.last(nnx.relu(self.first(x)))
        >>> model = MLP(nnx.Rngs(0))
        >>> model.first.kernel[...] = model.first.kernel[...].at[:, 3:].set(0)
        >>> small = shrink(model, jnp.ones((1, 2))).into(model)
        >>> small.first.kernel.shape, small(jnp.ones((5, 2))).shape
        ((2, 3), (5, 1))
        """
        network = self._network
        leaves = network.leaves_of(self.params)
        small = Program(next(iter(self._cuts.values())), leaves, network.inputs)
        return with_small_params(model, network, small, leaves, self.sizes)

    def _small_leaves(self) -> list[Any]:
        leaves = []
        for n, (leaf, mask) in enumerate(zip(self._network.leaves, self._masks, strict=True)):
            if n in self._amounts:
                leaf = leaf + self._amounts[n].astype(leaf.dtype)
            small = take(leaf, mask)
            # Never the user's own array, who may donate it.
            leaves.append(jnp.array(small) if small is leaf else jnp.asarray(small))
        return leaves


def _check(network: Network) -> None:
    for path, leaf in zip(network.paths, network.leaves, strict=True):
        if isinstance(leaf, Tracer):
            raise TypeError(
                f"params are traced ({path!r} is), and which units are dead has to be known now: call shrink "
                "outside jit, grad and vmap"
            )
        if isinstance(leaf, jax.Array) and leaf.is_deleted():
            raise ValueError(
                f"the leaf {path!r} was donated or deleted, and its values are needed: shrink before that"
            )
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and np.isnan(leaf).any():
            raise ValueError(
                f"the leaf {path!r} holds NaN, so the network gives NaN: nothing is dead in it; see where "
                "training diverged (jax.config.update('jax_debug_nans', True))"
            )


@contextlib.contextmanager
def _advice() -> Iterator[None]:
    """What to do about code that cannot be traced."""
    try:
        yield
    except jax.errors.ConcretizationTypeError as error:
        error.add_note(
            "shrink and couplings trace the function: where it decides by the values of arrays, use "
            "jnp.where or jax.lax.cond; pass settings (training=False) as Python values"
        )
        raise
