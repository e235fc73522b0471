"""penalties in Keras 3: regularizers, and exact zeros in `model.fit`.

>>> import keras, penalties.keras
>>> layer = keras.layers.Dense(64, kernel_regularizer=penalties.keras.L1(1e-4))

`L1`, `L2`, `L1L2` and `OrthogonalRegularizer` take the arguments of their namesakes in
`keras.regularizers` and give the same numbers, except where Keras is not right:

============================== ================================= ================================
what                           keras.regularizers                penalties.keras
============================== ================================= ================================
strengths                      Python floats and ints only       NumPy and JAX scalars as well
strengths that are no numbers  ValueError                        TypeError (negative: ValueError)
`L1(0.1).get_config()`         0.10000000149                     0.1
gradient of L1 at 0            +1 on JAX, 0 on torch             0
float16 weights                sums in float16, may be inf       sums in float32
a small strength in float16    rounds to 0                       kept in float32
the penalty's dtype            that of the weights               float32 (float64 for float64)
strength 0, squares overflow   0·inf = NaN                       0
OrthogonalRegularizer of 1 row NaN                               0
its gradient at a zero row     depends on the epsilon, to 1e7    0
complex weights, integers      as the operations happen to do    by modulus; TypeError
============================== ================================= ================================

Pass objects, not strings: `kernel_regularizer="L1"` is Keras's own class. On other backends than
JAX these four are computed by their namesakes; everything else says that it needs JAX.
"""

try:
    import keras as _keras  # noqa: F401
except ModuleNotFoundError as error:
    _missing = (error.name or "").partition(".")[0]
    if _missing in ("tensorflow", "torch"):
        raise ModuleNotFoundError(
            f'Keras is to run on {_missing}, which is not installed: set KERAS_BACKEND="jax" in the '
            "environment before keras is imported",
            name=error.name,
        ) from error
    if error.name != "keras":
        raise
    raise ModuleNotFoundError(
        'penalties.keras needs Keras 3, which is not installed: pip install "penalties[keras]"', name="keras"
    ) from error

from penalties.keras._attach import attach
from penalties.keras._constraint import Constraint
from penalties.keras._drop_ins import L1, L1L2, L2, OrthogonalRegularizer
from penalties.keras._logger import SparsityLogger
from penalties.keras._optimizer import Penalized
from penalties.keras._regularizer import Regularizer
from penalties.keras._schedule import StrengthSchedule
from penalties.keras._to_sparsity import ToSparsity

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "Constraint",
    "OrthogonalRegularizer",
    "Penalized",
    "Regularizer",
    "SparsityLogger",
    "StrengthSchedule",
    "ToSparsity",
    "attach",
]

# One path for each public name, in pickles and in saved models too: files may be moved about.
for _name in __all__:
    globals()[_name].__module__ = __name__
