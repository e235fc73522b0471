"""The order of the features by LassoNet, of the PyPI package `lassonet`, at its defaults.

Hidden layers are its default, one of 100 units, or those of its own examples on their data. It is given the
validation split to stop early by, and one thread, with which it needs less of the processor.

python -m benchmarks.feature_lassonet NAME SEED
"""

import json
import sys
import time

import numpy as np
import torch
from lassonet import LassoNetClassifier, LassoNetRegressor

from benchmarks.feature_data import Problem, load

HIDDEN = {"diabetes + 10": (10,), "friedman, 200": (10, 10)}


def order(name: str, problem: Problem, seed: int) -> list[int]:
    """The features, the one that matters most first."""
    kind = LassoNetClassifier if problem.classes else LassoNetRegressor
    model = kind(hidden_dims=HIDDEN.get(name, (100,)), random_state=seed, torch_seed=seed)
    y, y_validation = (
        data.y.astype(np.int64) if problem.classes else data.y[:, None]
        for data in (problem.train, problem.validation)
    )
    x, x_validation = problem.train.x, problem.validation.x
    model.path(x, y, X_val=x_validation, y_val=y_validation, return_state_dicts=False)
    return np.argsort(-model.feature_importances_.numpy(), kind="stable").tolist()


if __name__ == "__main__":
    name, seed = sys.argv[1], int(sys.argv[2])
    problem = load(name, seed)
    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    found = order(name, problem, seed)
    times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"order": found} | times))
