"""Networks in Keras."""

from typing import Any


def keras_cnn() -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(9, activation="gelu"),
            layers.Dense(3),
        ]
    )


def keras_transformer() -> Any:
    import keras

    layers = keras.layers
    x = keras.Input((6,))
    h = layers.Embedding(11, 8)(x)
    y = layers.RMSNormalization()(h)
    h = h + layers.GroupQueryAttention(4, 4, 2)(y, y)
    h = h + layers.Dense(8)(layers.Dense(12, activation="gelu")(layers.LayerNormalization()(h)))
    return keras.Model(x, layers.Dense(3)(h[:, 0]))
