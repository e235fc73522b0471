"""Torch-Pruning and Only-Train-Once on networks in which every second unit is zero.

python -m benchmarks.smaller.outputs_in_torch     prints JSON

Torch-Pruning is asked for half of the units, by the norm of the weights that make them; Only-Train-Once cuts
what is zero. Neither trains.
"""

import contextlib
import copy
import importlib.util
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from benchmarks.smaller.in_torch import only_train_once

WIDTH = 16

Between = Callable[[Any, Tensor], Tensor]


class Network(nn.Module):
    """Units by a layer, what is done to them, and a layer that reads them."""

    def __init__(self, up: nn.Module, down: nn.Module, between: Between) -> None:
        super().__init__()
        self.up, self.down, self.between = up, down, between
        self.kernel = nn.Parameter(torch.randn(WIDTH, WIDTH) / 4) if between is product else None

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.between(self, self.up(x)))


# Functions with names, for Only-Train-Once pickles the model.
def relu(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h)


def flatten(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h).flatten(1)


def channels_last(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h).permute(0, 2, 3, 1).flatten(1)


def chunk(_: Any, h: Tensor) -> Tensor:
    a, b = h.chunk(2, -1)
    return a * torch.sigmoid(b)


def slices(_: Any, h: Tensor) -> Tensor:
    return h[:, :WIDTH] * torch.sigmoid(h[:, WIDTH:])


def flip(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h.flip(-1))


def roll(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h.roll(1, -1))


def repeat(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h.repeat(1, 2))


def heads_transposed(_: Any, h: Tensor) -> Tensor:
    return torch.relu(h.reshape(-1, 4, 4)).transpose(1, 2).reshape(-1, WIDTH)


def product(model: Any, h: Tensor) -> Tensor:
    return torch.relu(torch.relu(h) @ model.kernel)


def softmax(_: Any, h: Tensor) -> Tensor:
    return torch.softmax(h, -1)


def layer_norm(_: Any, h: Tensor) -> Tensor:
    return nn.functional.layer_norm(h, h.shape[-1:])


def rms_norm(_: Any, h: Tensor) -> Tensor:
    return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)


def networks() -> dict[str, tuple[Network, Tensor]]:
    """By name, each with inputs."""

    def mlp(between: Between, wider: int = 1, read: int = 1) -> tuple[Network, Tensor]:
        up, down = nn.Linear(8, wider * WIDTH), nn.Linear(read * WIDTH, 4)
        return Network(up, down, between), torch.randn(64, 8)

    def images(between: Between) -> tuple[Network, Tensor]:
        up, down = nn.Conv2d(1, WIDTH, 3, padding=1), nn.Linear(16 * WIDTH, 4)
        return Network(up, down, between), torch.randn(64, 1, 4, 4)

    return {
        "ReLU": mlp(relu),
        "convolution, flatten": images(flatten),
        "convolution, channels last, flatten": images(channels_last),
        "gate of two halves, chunk": mlp(chunk, wider=2),
        "gate of two halves, slices": mlp(slices, wider=2),
        "flip": mlp(flip),
        "roll": mlp(roll),
        "repeat": mlp(repeat, read=2),
        "heads transposed": mlp(heads_transposed),
        "product with a parameter": mlp(product),
        "softmax": mlp(softmax),
        "LayerNorm": mlp(layer_norm),
        "RMS norm, written out": mlp(rms_norm),
    }


def by_torch_pruning(model: nn.Module, x: Tensor) -> nn.Module:
    importance = torch_pruning.importance.GroupMagnitudeImportance(group_reduction="first", normalizer=None)
    options = {"importance": importance, "pruning_ratio": 0.5, "ignored_layers": [model.down]}
    torch_pruning.pruner.BasePruner(model, x[:1], **options).step()
    return model


def by_only_train_once(model: nn.Module, x: Tensor) -> nn.Module:
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        oto = only_train_once()(model=model, dummy_input=x[:1])
        oto.construct_subnet(out_dir=folder)
        return torch.load(oto.compressed_model_path, weights_only=False)


@torch.no_grad()
def cut(model: Network, x: Tensor, by: Callable[[nn.Module, Tensor], nn.Module]) -> dict[str, Any]:
    """Units before and after, the change of the outputs; or what was raised, then or later."""
    model = copy.deepcopy(model).eval()
    model.up.weight[::2], model.up.bias[::2] = 0, 0
    before, units = model(x), len(model.up.weight)
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small = by(model, x)
        change = float((small(x) - before).abs().max() / before.abs().max())
    except Exception as error:
        return {"error": type(error).__name__}
    return {"units": units, "left": len(small.up.weight), "difference": change}


if __name__ == "__main__":
    torch.manual_seed(0)
    ways = {"Torch-Pruning": by_torch_pruning}
    if importlib.util.find_spec("only_train_once"):
        ways["Only-Train-Once"] = by_only_train_once
    of = {name: {way: cut(*network, by) for way, by in ways.items()} for name, network in networks().items()}
    print(json.dumps(of))
