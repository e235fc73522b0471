"""Single zeros as a sparse array."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from penalties._tree.paths import is_array, leaves_with_paths
from penalties._tree.selection import Where, nothing_selected, selector
from penalties._tree.types import Params


def to_bcoo(params: Params, where: Where | None = None) -> Any:
    """The params with matrices as `jax.experimental.sparse.BCOO`: their nonzero entries and where they are.

    An entry of a float32 matrix takes 12 bytes in place of 4, so that memory is saved below a density of
    one third; time is saved seldom, see the measurements in the guide to smaller networks. Whole units
    that are zero are better taken out, by `shrink`.

    Args:
        params: any pytree of arrays; of an NNX module its state, `nnx.state(model, nnx.Param)`.
        where: which leaves, as in `Penalty.on`; by default all of two or more axes.

    Returns:
        A tree like params, the chosen leaves as BCOO of the same shape and dtype.

    Raises:
        TypeError: params are traced, for the number of nonzero entries has to be known.
        ValueError: nothing is selected.

    >>> import jax.numpy as jnp
    >>> from penalties import to_bcoo
    >>> params = {"kernel": jnp.array([[3.0, 0.0], [0.0, 0.0]]), "bias": jnp.zeros(2)}
    >>> sparse = to_bcoo(params)
    >>> sparse["kernel"].nse, sparse["kernel"].shape, type(sparse["bias"]).__name__
    (1, (2, 2), 'ArrayImpl')
    >>> print(sparse["kernel"] @ jnp.ones(2))
    [3. 0.]
    """
    from jax.experimental.sparse import BCOO  # costs as much as all of jax

    leaves = leaves_with_paths(params)
    if where is None:
        chosen = [is_array(leaf.value) and np.ndim(leaf.value) > 1 for leaf in leaves]
    else:
        chosen = selector(where).choose(leaves)
    if not any(chosen):
        raise nothing_selected(repr(where) if where is not None else "two or more axes", leaves)
    values, treedef = jax.tree.flatten(params)
    for i, (leaf, take) in enumerate(zip(leaves, chosen, strict=True)):
        if take:
            if isinstance(leaf.value, Tracer):
                raise TypeError(
                    f"the leaf {leaf.path!r} is traced, and how many of its entries are not 0 has to be "
                    "known now: call to_bcoo outside jit, grad and vmap"
                )
            values[i] = BCOO.fromdense(jnp.asarray(leaf.value))
    return treedef.unflatten(values)
