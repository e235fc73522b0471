"""Composable: the penalties that can be made of one penalty.

They are subclasses of Penalty, and imported where they are made: Penalty is a subclass of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from penalties._penalty.base import Penalty


class Composable:
    """What every penalty can be made into: distances, functions of params, smooth and dual penalties."""

    def around(self, params0: Any) -> Penalty:
        """R(params − params0): keeps weights near those they start from; for `L2` this is L2-SP.

        Of a penalty with a rule for zeros it has one for params0: under `penalized` weights become exactly
        equal to their pretrained values, to which params0 is rounded in the dtype of each leaf.

        Args:
            params0: a tree like params, such as pretrained weights; they become part of the penalty.

        >>> import jax.numpy as jnp
        >>> from penalties import L1
        >>> penalty = L1(0.5).around({"w": jnp.array([1.0, -1.0])})
        >>> float(penalty({"w": jnp.array([3.0, -1.0])}))
        1.0
        >>> penalty.prox({"w": jnp.array([3.0, -0.75])})["w"].tolist()
        [2.5, -1.0]

        Source: Li, Grandvalet and Davoine, Explicit inductive bias for transfer learning with convolutional
        networks, ICML 2018.
        """
        from penalties._penalty import composed

        return composed.Around(cast(Any, self), composed.weights_by_path(params0))

    def of(self, function: Callable[[Any], Any]) -> Penalty:
        """R(function(params)), a value only: for products of layers, transforms, differences of leaves.

        Args:
            function: of the params that the penalty is called with (of an NNX module, of its state), to any
                tree; pure: what it closes over is read once. Selections inside it, as in
                `L1(0.1).on("a").of(function)`, are of what it returns.

        >>> import jax.numpy as jnp
        >>> from penalties import L1
        >>> penalty = L1(1.0).of(lambda params: params["u"] @ params["v"])
        >>> float(penalty({"u": jnp.ones((2, 3)), "v": jnp.ones((3, 2))}))
        12.0
        """
        from penalties._penalty import composed

        return composed.Of(cast(Any, self), function)

    def smoothed(self, mu: Any) -> Penalty:
        """The Moreau envelope, min_z R(z) + ‖params − z‖²/(2·mu): smooth, with gradient (params − prox)/mu.

        Of L1 it is `Huber`. It has a prox, and trains under `penalized` without zeros. R is convex, or mu so
        short that its prox has one value. `2 * penalty.smoothed(mu)` is twice the envelope.

        Args:
            mu: > 0, a number, or an array that broadcasts as a step does.

        >>> import jax.numpy as jnp
        >>> from penalties import L1
        >>> float(L1(1.0).smoothed(1.0)(jnp.array([0.5, -3.0])))
        2.625

        Source: Moreau (1965); Beck, First-order methods in optimization (2017), theorems 6.60 and 6.63.
        """
        from penalties._penalty import composed

        return composed.Smoothed(cast(Any, self), mu=mu)

    def conjugate(self) -> Penalty:
        """R*(y) = sup_w ⟨w, y⟩ − R(w), of which the prox is known: v − t·prox_{R/t}(v/t), for a step t > 0.

        Of a norm it is the constraint to the ball of the dual norm. R is convex; there is no value.

        >>> import jax.numpy as jnp
        >>> from penalties import L1
        >>> L1(1.0).conjugate().prox(jnp.array([0.5, -3.0])).tolist()
        [0.5, -1.0]

        Source: Parikh and Boyd, Proximal algorithms (2014), section 2.5.
        """
        from penalties._penalty import composed

        return composed.Conjugate(cast(Any, self))
