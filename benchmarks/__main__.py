"""Speed and memory, as ratios against named peers measured in the same run.

python -m benchmarks            all of it, about twenty minutes on two cores
python -m benchmarks --quick    small sizes, to see that it runs
python -m benchmarks values     one part: values, leaves, training, tracing, compiling, targets
python -m benchmarks --save FILE    and python -m benchmarks.compare FILE ANOTHER

With commands of their own:

python -m benchmarks.everything FOLDER    all of them, with JSON and a picture
python -m benchmarks.keras_fit      the epochs of Keras's `fit`
python -m benchmarks.choosing       paths, cross-validation, `solve`, targets against their peers
python -m benchmarks.shrinking      what `shrink` costs, and how fast what it returns is
python -m benchmarks.smaller        smaller networks, beside Torch-Pruning and Only-Train-Once
python -m benchmarks.rivals         exact zeros, against methods that bring an optimizer of their own
python -m benchmarks.rivals_groups  groups in a network, and what a lower objective means
python -m benchmarks.accelerator    a roofline on whatever device JAX finds
python -m benchmarks.soak           very many steps, and checkpoints under kills
python -m benchmarks.paper_plan     what a penalty adds to a step with 1e9 to 1e12 weights
python -m benchmarks.feature_selection    which features matter, beside LassoNet
"""

import argparse

from benchmarks import compiling, targets, tracing, training, values
from benchmarks.results import Row, add_save, save
from benchmarks.small_networks import CNN, MLP

PARTS = ("values", "leaves", "training", "tracing", "compiling", "targets")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"which: {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    add_save(parser)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}: choose from {', '.join(PARTS)}")
    parts, rows = asked.parts or PARTS, list[Row]()
    if "values" in parts:
        rows += values.large(1_000_000 if asked.quick else 100_000_000, 3 if asked.quick else 11)
    if "leaves" in parts:
        rows += values.many_leaves(200, 3 if asked.quick else 31)
    if "training" in parts:
        training.check_the_same()
        width, layers, batch, repeats = (64, 2, 8, 3) if asked.quick else (1024, 4, 128, 41)
        mlp = training.deep_network(width, layers, batch)
        rows += training.steps(f"{layers} layers, {width} wide, batch {batch}", mlp, repeats)
        width, layers, batch, length, repeats = (32, 1, 2, 8, 3) if asked.quick else (256, 4, 16, 128, 15)
        network = training.transformer(width, layers, batch, length)
        title = f"a transformer of {layers} blocks, {width} wide, {batch} × {length} tokens"
        rows += training.steps(title, network, repeats)
        rows += training.update_alone(*((100_000, 3) if asked.quick else (10_000_000, 31)))
    if "tracing" in parts:
        rows += tracing.tracing([10] if asked.quick else [100, 400, 1000], 1 if asked.quick else 5)
    if "compiling" in parts:
        rows += compiling.compiling([10] if asked.quick else [100, 400, 1000, 2000], 1 if asked.quick else 5)
    if "targets" in parts:
        for network in (MLP,) if asked.quick else (MLP, CNN):
            few, full = (140, 1, ("adam",)), (1000, 5, tuple(targets.RATES))
            rows += targets.targets(network, *(few if asked.quick else full))
    save(asked.save, rows)
