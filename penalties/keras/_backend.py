"""What runs on the JAX backend of Keras only, and says so elsewhere."""

import keras


def on_jax() -> bool:
    """Whether Keras computes with JAX in this process."""
    return keras.backend.backend() == "jax"


def require_jax(what: str) -> None:
    """Raises RuntimeError, with a way out, unless Keras computes with JAX."""
    if not on_jax():
        raise RuntimeError(
            f"{what} computes with JAX, and Keras runs on the backend {keras.backend.backend()!r}: set "
            'KERAS_BACKEND="jax" in the environment before keras is imported. Constructing, saving, '
            "loading and inference work on every backend."
        )
