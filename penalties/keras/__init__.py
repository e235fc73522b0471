"""penalties in Keras 3: regularizers, and exact zeros in `model.fit`.

>>> import keras, penalties.keras
>>> layer = keras.layers.Dense(64, kernel_regularizer=penalties.keras.L1(1e-4))
"""

try:
    import keras as _keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise
    raise ModuleNotFoundError(
        'penalties.keras needs Keras 3, which is not installed: pip install "penalties[keras]"', name="keras"
    ) from error

from penalties.keras.attach import attach
from penalties.keras.logger import SparsityLogger
from penalties.keras.optimizer import Penalized
from penalties.keras.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer
from penalties.keras.schedules import StrengthSchedule

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Penalized",
    "Regularizer",
    "SparsityLogger",
    "StrengthSchedule",
    "attach",
]
