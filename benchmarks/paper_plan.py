"""What a penalty adds to a step with 1e9, 1e11 and 1e12 weights: counted here, and scaled up on paper.

python -m benchmarks.paper_plan
python -m benchmarks.paper_plan --save FILE

Counted: bytes of params, gradients and state, by their shapes; floating-point operations and collectives in
compiled steps on a mesh of eight CPU devices. Assumed: the devices, models and batches in the tables below.
Nothing is timed.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import argparse
import math
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from rich.table import Table

from benchmarks.results import Row, add_save, save
from benchmarks.timing import console
from penalties import L1, GroupLasso, add_penalty, penalized

ADAM = "adam"
ACROSS = "penalized, groups across devices"
OPTIMIZERS = {
    ADAM: optax.adam(1e-3),
    "add_penalty, L1": optax.chain(add_penalty(L1(1e-3)), optax.adam(1e-3)),
    "penalized, L1": penalized(optax.adam(1e-3), L1(1e-3)),
    "penalized, L1, bfloat16 average": penalized(optax.adam(1e-3), L1(1e-3), accumulator_dtype=jnp.bfloat16),
    "penalized, groups within devices": penalized(optax.adam(1e-3), GroupLasso(1e-3, axis=-2)),
    ACROSS: penalized(optax.adam(1e-3), GroupLasso(1e-3)),
}


@dataclass(frozen=True)
class Counted:
    """Of a step, for each weight; `sums` is the number of all-reduces of one number for each group."""

    memory: float
    moved: float
    flops: float
    sums: int


@dataclass(frozen=True)
class Device:
    """The maker's figures: bytes, bytes/s of memory and between devices, dense bfloat16 operations/s."""

    name: str
    memory: float
    bandwidth: float
    network: float
    flops: float


@dataclass(frozen=True)
class Run:
    """A transformer: weights, model width, devices, tokens in a batch."""

    weights: float
    width: int
    devices: int
    tokens: float


# NVIDIA's data sheet of H100 SXM, with 400 Gbit/s InfiniBand for each; Google Cloud's page on TPU v5p, of
# whose 1,200 GB/s to its neighbours half goes each way.
DEVICES = (
    Device("H100 SXM", 80e9, 3.35e12, 50e9, 989e12),
    Device("TPU v5p", 95e9, 2.765e12, 600e9, 459e12),
)
RUNS = (Run(1e9, 2048, 8, 5e5), Run(1e11, 10240, 1024, 4e6), Run(1e12, 25600, 6144, 16e6))
USED = 0.4  # of the operations that a device can do, while it trains


def count(optimizer: optax.GradientTransformation, rows: int = 512, columns: int = 1024) -> Counted:
    """Of one float32 kernel whose rows lie over all devices."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    over_rows, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())

    def placed(x: Any) -> jax.ShapeDtypeStruct:
        sharding = over_rows if x.shape == (rows, columns) else everywhere
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    kernel = placed(jax.ShapeDtypeStruct((rows, columns), jnp.float32))
    state = jax.tree.map(placed, jax.eval_shape(optimizer.init, kernel))

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    shardings = jax.tree.map(lambda x: x.sharding, (kernel, state))
    compiled = jax.jit(step, out_shardings=shardings).lower(kernel, state, kernel).compile()
    sizes = [math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state) if x.shape]
    weights = rows * columns
    text = compiled.as_text()
    reduced = [shapes for shapes, _ in re.findall(r"= (\S+|\([^)]*\)) (all-reduce)(?:-start)?\(", text)]
    others = re.findall(
        r"= .*\b(?:all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(", text
    )
    assert not others, others
    return Counted(
        memory=(2 * 4 * weights + sum(sizes)) / weights,  # params and gradients
        moved=(3 * 4 * weights + 2 * sum(sizes)) / weights,  # params and state are read and written
        flops=compiled.cost_analysis()["flops"] * 8 / weights,  # the program is that of one device
        sums=sum(shapes.count(f"f32[{columns}]") for shapes in reduced),
    )


def show_counted(counted: dict[str, Counted]) -> list[Row]:
    table = Table(title="a step, float32, for each weight: counted")
    for column in ("optimizer", "bytes kept", "bytes moved", "operations", "all-reduces of groups"):
        table.add_column(column, justify="left" if column == "optimizer" else "right")
    rows = []
    for name, of in counted.items():
        table.add_row(name, f"{of.memory:.0f}", f"{of.moved:.0f}", f"{of.flops:.0f}", str(of.sums))
        rows.append(Row("paper plan: counted", name, dict(vars(of))))
    console.print(table)
    return rows


def show_scaled(device: Device, counted: dict[str, Counted]) -> list[Row]:
    """What each adds to adam's step, on each device."""
    table = Table(title=f"on {device.name}, for each device: what is added to a step with adam")
    for column in ("weights", "optimizer", "memory, GB", "update, ms", "sums, MB", "sums, ms", "of the step"):
        table.add_column(column, justify="left" if column == "optimizer" else "right")
    rows, adam = [], counted[ADAM]
    for run in RUNS:
        share = run.weights / run.devices
        compute = 6 * share * run.tokens / (USED * device.flops)
        update = share * adam.moved / device.bandwidth
        table.add_row(
            f"{run.weights:.0e}",
            f"adam: {1e3 * (compute + update):,.0f} ms a step",
            f"{share * adam.memory / 1e9:.2f}",
            f"{1e3 * update:.2f}",
        )
        for name, of in counted.items():
            if name == ADAM:
                continue
            memory = share * (of.memory - adam.memory)
            more = share * (of.moved - adam.moved) / device.bandwidth
            reduced = 4 * of.sums * run.weights / run.width  # one group for each column
            reducing = 2 * reduced / device.network  # a ring sends each byte twice
            added = (more + reducing) / (compute + update)
            numbers = {
                "memory, bytes": memory,
                "update, s": more,
                "reduced, bytes": reduced,
                "reducing, s": reducing,
                "share of the step": added,
            }
            rows.append(Row(f"paper plan: {device.name}", f"{name}, {run.weights:.0e} weights", numbers))
            table.add_row(
                "",
                name,
                f"+ {memory / 1e9:.2f}",
                f"+ {1e3 * more:.2f}",
                f"{reduced / 1e6:,.0f}" if reduced else "",
                f"+ {1e3 * reducing:,.2f}" if reduced else "",
                f"+ {100 * added:.3f} %",
            )
        table.add_section()
    console.print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_save(parser)
    asked = parser.parse_args()
    counted = {name: count(optimizer) for name, optimizer in OPTIMIZERS.items()}
    rows = show_counted(counted)
    for device in DEVICES:
        rows += show_scaled(device, counted)
    save(asked.save, rows)


if __name__ == "__main__":
    main()
