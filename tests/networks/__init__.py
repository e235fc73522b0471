"""Small networks of many kinds, in four frameworks and in plain JAX."""

from networks.case import Case, floats, of_equinox, of_linen, of_nnx, tokens
from networks.in_equinox import EqxAttention, EqxCNN, EqxGRU
from networks.in_jax import BRANCHES, EXPERTS, LLAMA, branches, experts, llama
from networks.in_keras import keras_cnn, keras_transformer
from networks.in_linen import LinenGroups, LinenGRU, LinenMixer, LinenPostNorm, LinenScan
from networks.in_nnx import NNXCNN, NNXMLP, NNXRecurrent, NNXResNet, NNXTransformer, NNXUNet

# The token mixing adds its bias to every channel. The centred variance of Keras's LayerNormalization sees
# a 0 in the stream. Heads without a query look at all positions alike, which is not nothing.
CASES = {
    "nnx mlp": lambda: of_nnx(NNXMLP, floats(5)),
    "nnx cnn": lambda: of_nnx(NNXCNN, floats(6, 6, 2)),
    "nnx resnet": lambda: of_nnx(NNXResNet, floats(6, 6, 2)),
    "nnx transformer": lambda: of_nnx(NNXTransformer, tokens(6, 11)),
    "nnx lstm": lambda: of_nnx(NNXRecurrent, floats(5, 4)),
    "nnx unet": lambda: of_nnx(NNXUNet, floats(8, 8, 2)),
    "linen groups": lambda: of_linen(LinenGroups(), floats(6, 6, 2)),
    "linen post-norm": lambda: of_linen(LinenPostNorm(), tokens(6, 11)),
    "linen scan": lambda: of_linen(LinenScan(), tokens(6, 11)),
    "linen gru": lambda: of_linen(LinenGRU(), floats(5, 4)),
    "linen mixer": lambda: of_linen(LinenMixer(), floats(6, 6, 2))._replace(stays=(0,)),
    "eqx attention": lambda: of_equinox(EqxAttention, floats(5, 8)),
    "eqx gru": lambda: of_equinox(EqxGRU, floats(5, 4)),
    "eqx cnn": lambda: of_equinox(EqxCNN, floats(2, 6, 6)),
    "keras cnn": lambda: Case(keras_cnn(), None, floats(8, 8, 2)),
    "keras transformer": lambda: Case(keras_transformer(), None, tokens(6, 11), stays=(0, 3)),
    "llama": lambda: Case(llama, LLAMA, tokens(6, 11), stays=(3,)),
    "experts": lambda: Case(experts, EXPERTS, floats(5)),
    "branches": lambda: Case(branches, BRANCHES, floats(5)),
}

__all__ = ["CASES", "Case"]
