"""Torch-Pruning and Only-Train-Once, on one thread, in a process that need not have JAX.

python -m benchmarks.smaller.in_torch METHOD NETWORK [--quick]    prints JSON

Torch-Pruning, as its README says: a pruner with the importance of groups, after plain training or after
training with its `regularize`. Only-Train-Once 3.0.1: HESSO, and `construct_subnet`. It imports two functions
from where torch no longer has them, and calls `.cuda()` once; `only_train_once()` puts right these three.
"""

import argparse
import contextlib
import copy
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.smaller.task import (
    FULL,
    IN_TORCH,
    QUICK,
    SHAPES,
    Problem,
    Setting,
    Side,
    Size,
    Trained,
    falling,
    first_weights,
    problem,
    rows_of_batches,
    tuned_and_tested,
)


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.second(torch.relu(self.first(x)))))


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.third, self.out = nn.Linear(512, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x)))).flatten(1)
        return self.out(torch.relu(self.third(x)))


NETWORKS = {"MLP": MLP, "CNN": CNN}


class Half(NamedTuple):
    """A model at the end of sparse training, the pruner that goes with it, and what it took."""

    model: nn.Module
    seconds: float


def model_of(network: str, seed: int) -> nn.Module:
    model = NETWORKS[network]()
    model.load_state_dict({k: torch.from_numpy(w) for k, w in first_weights(network, seed).items()})
    return model


def backward(model: nn.Module, at: Problem, rows: np.ndarray) -> None:
    model.zero_grad()
    x, y = torch.from_numpy(at.train.x[rows]), torch.from_numpy(at.train.y[rows])
    nn.functional.cross_entropy(model(x), y).backward()


def fit(
    model: nn.Module,
    at: Problem,
    rows: np.ndarray,
    rates: np.ndarray,
    regularize: Callable[[], None] | None = None,
) -> None:
    """A step of adam on each of these rows."""
    adam = torch.optim.Adam(model.parameters())
    for some, rate in zip(rows, rates, strict=True):
        backward(model, at, some)
        if regularize is not None:
            regularize()
        adam.param_groups[0]["lr"] = float(rate)
        adam.step()


def pruner_of(model: nn.Module, at: Problem, kind: str, share: float, **options: Any) -> Any:
    import torch_pruning

    importance = {
        "l2": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
        "l1": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=1),
        "taylor": lambda: torch_pruning.importance.GroupTaylorImportance(),
    }[kind]()
    of = torch_pruning.pruner.GroupNormPruner if "reg" in options else torch_pruning.pruner.BasePruner
    x = torch.from_numpy(at.train.x[:1])
    options |= {"importance": importance, "pruning_ratio": share, "ignored_layers": [model.out]}
    return of(model, x, **options)


@functools.cache
def half_trained(network: str, sparse: int, rate: float, reg: float | None, seed: int) -> Half:
    """Half of the way: what is trained before the cut is the same for all targets."""
    at, model = problem(network), model_of(network, seed)
    begun = time.perf_counter()
    pruner = None if reg is None else pruner_of(model, at, "l2", 0.5, reg=reg)
    regularize = None if pruner is None else functools.partial(pruner.regularize, model)
    rows = rows_of_batches(seed, sparse, len(at.train.y))
    fit(model, at, rows, np.full(sparse, rate), regularize)
    return Half(model, time.perf_counter() - begun)


def with_torch_pruning(at: Problem, size: Size, setting: Setting, target: float, seed: int) -> Trained:
    kind, reg, together = setting.own
    half = half_trained(at.network, size.sparse, setting.rate, reg, seed)
    model = copy.deepcopy(half.model)
    begun = time.perf_counter()
    if target:
        backward(model, at, np.arange(len(at.train.y)))  # for the importance that reads gradients
        options = {} if reg is None else {"reg": reg}
        pruner_of(model, at, kind, target, global_pruning=together, **options).step()
    return fine(at, size, setting, seed, half.model, model, half.seconds + time.perf_counter() - begun)


def only_train_once() -> Any:
    """Its class, for a torch of today without CUDA."""
    from torch.onnx._internal.torchscript_exporter import _globals, utils

    sys.modules["torch.onnx._globals"] = _globals
    torch.onnx._optimize_graph = utils._optimize_graph
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self: self
    import only_train_once

    return only_train_once.OTO


def with_hesso(at: Problem, size: Size, setting: Setting, target: float, seed: int) -> Trained:
    model, (start, length, periods) = model_of(at.network, seed), setting.own
    rows = rows_of_batches(seed, size.sparse, len(at.train.y))
    begun = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        oto = only_train_once()(model=model, dummy_input=torch.from_numpy(at.train.x[:1]))
        optimizer = oto.hesso(
            variant="adam",
            lr=setting.rate,
            target_group_sparsity=target,
            start_pruning_step=int(start * size.sparse),
            pruning_steps=int(length * size.sparse),
            pruning_periods=periods,
        )
        for some in rows:
            backward(model, at, some)
            optimizer.step()
        before = copy.deepcopy(model)
        oto.construct_subnet(out_dir=folder)
        model = torch.load(oto.compressed_model_path, weights_only=False)
    return fine(at, size, setting, seed, before, model, time.perf_counter() - begun)


def fine(
    at: Problem, size: Size, setting: Setting, seed: int, before: nn.Module, model: nn.Module, seconds: float
) -> Trained:
    """What was cut, trained on."""
    cut = copy.deepcopy(model)
    rows = rows_of_batches(seed, size.sparse + size.fine, len(at.train.y))[size.sparse :]
    begun = time.perf_counter()
    fit(model, at, rows, falling(setting.rate, size.fine))
    seconds += time.perf_counter() - begun
    units = sum(len(getattr(model, name).weight) for name in SHAPES[at.network] if name != "out")
    parameters = sum(w.numel() for w in model.parameters())
    return Trained(*(_function(of) for of in (before, cut, model)), units, parameters, seconds)


def _function(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return torch.inference_mode()(model.eval())


PLAIN = tuple((kind, None, together) for kind in ("l2", "l1", "taylor") for together in (False, True))
SPARSE = tuple(("l2", reg, together) for reg in (1e-4, 1e-3, 1e-2) for together in (False, True))
HESSO = tuple((start, *of) for start in (0.1, 0.3) for of in ((0.3, 1), (0.3, 10), (0.6, 10)))
SIDES = dict(
    zip(
        IN_TORCH,
        (
            Side(with_torch_pruning, (("l2", None, False),), torch.from_numpy, (0.0,)),
            Side(with_torch_pruning, PLAIN, torch.from_numpy),
            Side(with_torch_pruning, SPARSE, torch.from_numpy),
            Side(with_hesso, HESSO, torch.from_numpy),
        ),
        strict=True,
    )
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("method", choices=SIDES)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    at, size = problem(asked.network), QUICK if asked.quick else FULL[asked.network]
    print(json.dumps(tuned_and_tested(SIDES[asked.method], at, size)))
