"""Smaller networks: what the pass costs on models of real size, and how fast what it returns is.

python -m benchmarks.shrinking            all of it, some minutes on two cores
python -m benchmarks.shrinking --quick    small sizes, to see that it runs
"""

import argparse
import functools
import io
import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import sparse
from rich.table import Table

from benchmarks.results import Row, add_save, save
from benchmarks.timing import Ratio, console, medians, show
from penalties import shrink, to_bcoo


class Block(nnx.Module):
    """A pre-norm block of a transformer."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs):
        self.norm, self.norm2 = nnx.LayerNorm(width, rngs=rngs), nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(width, 4 * width, rngs=rngs), nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: Any, mask: Any = None) -> Any:
        x = x + self.attention(self.norm(x), mask=mask)
        return x + self.down(nnx.gelu(self.up(self.norm2(x))))


class ViT(nnx.Module):
    def __init__(self, width: int, depth: int, rngs: nnx.Rngs):
        self.patches = nnx.Conv(3, width, (16, 16), strides=16, rngs=rngs)
        self.first = nnx.Param(jnp.zeros((1, 1, width)))
        self.position = nnx.Param(jnp.zeros((1, 197, width)))
        self.blocks = nnx.List([Block(width, 12, rngs) for _ in range(depth)])
        self.norm, self.out = nnx.LayerNorm(width, rngs=rngs), nnx.Linear(width, 1000, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.patches(x)
        x = x.reshape(len(x), -1, x.shape[-1])
        first = jnp.broadcast_to(self.first[...], (len(x), 1, x.shape[-1]))
        x = jnp.concatenate([first, x], 1) + self.position[...]
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x)[:, 0])


class GPT(nnx.Module):
    def __init__(self, width: int, depth: int, rngs: nnx.Rngs):
        self.embed = nnx.Embed(50257, width, rngs=rngs)
        self.position = nnx.Param(jnp.zeros((1, 1024, width)))
        self.blocks = nnx.List([Block(width, 12, rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        h, mask = self.embed(x) + self.position[...][:, : x.shape[1]], nnx.make_causal_mask(x)
        for block in self.blocks:
            h = block(h, mask)
        return self.embed.attend(self.norm(h))


class Bottleneck(nnx.Module):
    def __init__(self, in_: int, width: int, stride: int, rngs: nnx.Rngs):
        def conv(a: int, b: int, size: int, step: int) -> nnx.Conv:
            return nnx.Conv(a, b, (size, size), strides=step, use_bias=False, rngs=rngs)

        self.down, self.middle = conv(in_, width, 1, 1), conv(width, width, 3, stride)
        self.up = conv(width, 4 * width, 1, 1)
        self.norms = nnx.List([nnx.BatchNorm(n, rngs=rngs) for n in (width, width, 4 * width, 4 * width)])
        self.project = conv(in_, 4 * width, 1, stride) if in_ != 4 * width else None

    def __call__(self, x: Any) -> Any:
        y = nnx.relu(self.norms[0](self.down(x)))
        y = self.norms[2](self.up(nnx.relu(self.norms[1](self.middle(y)))))
        return nnx.relu(y + (x if self.project is None else self.norms[3](self.project(x))))


class ResNet(nnx.Module):
    def __init__(self, width: int, depth: int, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, width, (7, 7), strides=2, use_bias=False, rngs=rngs)
        self.norm, blocks, in_ = nnx.BatchNorm(width, rngs=rngs), [], width
        for stage, count in enumerate((3, 4, 6, 3)[:depth]):
            for i in range(count):
                blocks.append(Bottleneck(in_, width * 2**stage, 2 if stage and not i else 1, rngs))
                in_ = 4 * width * 2**stage
        self.blocks, self.out = nnx.List(blocks), nnx.Linear(in_, 1000, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.max_pool(nnx.relu(self.norm(self.stem(x))), (3, 3), (2, 2), "SAME")
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean((1, 2)))


def of_random_weights(make: Any) -> nnx.Module:
    """A model of random weights; the initializers of the large ones take minutes."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    rng = np.random.default_rng(0)

    def fill(x: Any) -> Any:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        if len(x.shape) < 2:
            return jnp.ones(x.shape, x.dtype)
        return jnp.asarray(0.02 * rng.standard_normal(x.shape, dtype=np.float32))

    return nnx.merge(graph, jax.tree.map(fill, shapes))


def kill_half(model: nnx.Module) -> None:
    """Half of the units inside the blocks: of the first kernel and what goes with it."""

    def kill(path: Any, x: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if not any(
            part in name for part in ("['up']['kernel", "['up']['bias", "['down']['kernel", "['norms'][0]")
        ):
            return x
        if isinstance(model, ResNet) == ("['up']" in name):
            return x
        if not isinstance(model, ResNet) and "['down']" in name:
            return x
        x = np.array(x)
        x[..., : x.shape[-1] // 2] = 0
        return jnp.asarray(x)

    nnx.update(model, jax.tree_util.tree_map_with_path(kill, nnx.state(model)))


class PeakMemory:
    """The most memory of the process while it is open, above what it had, in bytes."""

    def __enter__(self) -> "PeakMemory":
        self.peak, self._start, self._open = 0, self._now(), True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._open = False
        self._thread.join()

    def _watch(self) -> None:
        while self._open:
            self.peak = max(self.peak, self._now() - self._start)
            time.sleep(0.002)

    def _now(self) -> int:
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


MODELS = {
    "ViT-B/16": (ViT, jax.ShapeDtypeStruct((32, 224, 224, 3), jnp.float32)),
    "ResNet-50": (ResNet, jax.ShapeDtypeStruct((32, 224, 224, 3), jnp.float32)),
    "GPT-2 small": (GPT, jax.ShapeDtypeStruct((8, 1024), jnp.int32)),
}


def pass_of(name: str, quick: bool) -> dict[str, float]:
    """The numbers of a row of the table."""
    kind, inputs = MODELS[name]
    width, depth = {ResNet: (8 if quick else 64, 4)}.get(kind, (96, 2) if quick else (768, 12))
    model = of_random_weights(lambda rngs: kind(width, depth, rngs))
    kill_half(model)
    with PeakMemory() as memory:
        begun = time.perf_counter()
        small = shrink(model, inputs)
        seconds = time.perf_counter() - begun
    before, after = small.report.parameters
    share = memory.peak / small.report.bytes[0]
    return {"parameters": before, "left": after, "seconds": seconds, "memory / params' memory": share}


def real_sizes(quick: bool) -> list[Row]:
    """Seconds and memory of the pass, at inputs of a full batch that is never run."""
    table = Table(title="the pass: half of the units inside the blocks are dead")
    formats = {"parameters": ",", "left": ",", "seconds": ".1f", "memory / params' memory": ".2f"}
    table.add_column("model")
    for column in formats:
        table.add_column(column, justify="right")
    rows = []
    for name in MODELS:
        # In a process of its own: memory that an earlier model gave back would not be counted.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            numbers = pool.submit(pass_of, name, quick).result()
        rows.append(Row("the pass", name, numbers))
        table.add_row(name, *(format(numbers[column], spec) for column, spec in formats.items()))
    console.print(table)
    return rows


class MLP(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs):
        self.first, self.second = nnx.Linear(256, width, rngs=rngs), nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(nnx.relu(self.second(nnx.relu(self.first(x)))))


class CNN(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs):
        self.first, self.second = (nnx.Conv(i, width, (3, 3), rngs=rngs) for i in (16, width))
        self.out = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(nnx.relu(self.second(nnx.relu(self.first(x)))).mean((1, 2)))


def speed(quick: bool) -> list[Row]:
    """The forward pass of the small network, against one built small and against the large one."""
    width, repeats = (64, 3) if quick else (1024, 61)
    x = jax.random.normal(jax.random.key(0), (256, 256))
    images = jax.random.normal(jax.random.key(0), (16, 32, 32, 16))
    kinds = {"MLP": (MLP, width, x), "CNN": (CNN, width // 4, images)}
    built_small, dense = [], []
    for name, (kind, units, inputs) in kinds.items():
        for dead in (0.5, 0.75, 0.9):
            left = round(units * (1 - dead))
            model = of_random_weights(lambda rngs, kind=kind, units=units: kind(units, rngs))
            for layer in (model.first, model.second):
                layer.kernel[...] = layer.kernel[...].at[..., left:].set(0)
                layer.bias[...] = layer.bias[...].at[left:].set(0)
            small = shrink(model, inputs[:1])
            born = of_random_weights(lambda rngs, kind=kind, left=left: kind(left, rngs))
            rivals = {}
            for rival, (fn, params) in {
                "small": (small.apply, small.params),
                "born": _of_module(born),
                "dense": _of_module(model),
            }.items():
                compiled = jax.jit(fn)
                rivals[rival] = lambda compiled=compiled, params=params, inputs=inputs: compiled(
                    params, inputs
                )
            times = medians(rivals, repeats)
            what = f"{name}, {dead:.0%} of {units} units dead"
            built_small.append(Ratio(what, "built small", times["small"], times["born"], 1.02))
            dense.append(Ratio(what, "with its dead units", times["small"], times["dense"]))
    return show("forward pass of the small network", built_small + dense)


def _of_module(module: nnx.Module) -> Any:
    graph, state = nnx.split(module)
    return (lambda state, x: nnx.merge(graph, state)(x)), state


def single_zeros(quick: bool) -> list[Row]:
    """When single zeros pay: a product with BCOO against a dense one, and bytes on disk."""
    n, repeats = (256, 3) if quick else (1024, 21)
    x = jax.random.normal(jax.random.key(0), (128, n))
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((n, n), dtype=np.float32)
    ratios, rows, table = [], [], Table(title=f"a {n} × {n} kernel on disk, bytes")
    formats = (".npy", ".npz, compressed", "BCOO, compressed")
    for column in ("density", *formats):
        table.add_column(column, justify="right")
    for density in (0.1, 0.05, 0.01, 0.001):
        kernel = np.where(rng.random((n, n)) < density, dense, np.float32(0))
        params = to_bcoo({"kernel": kernel})
        rivals = {
            "bcoo": functools.partial(_product, params["kernel"], x),
            "dense": functools.partial(_product, jnp.asarray(kernel), x),
        }
        times = medians(rivals, repeats)
        ratios.append(Ratio(f"x @ kernel, density {density:.1%}", "dense", times["bcoo"], times["dense"]))
        m = params["kernel"]
        sizes = (
            _bytes(np.save, kernel),
            _bytes(np.savez_compressed, kernel),
            _bytes(np.savez_compressed, np.asarray(m.data), np.asarray(m.indices)),
        )
        rows.append(Row("on disk, bytes", f"density {density:.1%}", dict(zip(formats, sizes, strict=True))))
        table.add_row(f"{density:.1%}", *(f"{size:,}" for size in sizes))
    where = "the CPU" if jax.default_backend() == "cpu" else "an accelerator"
    rows += show(f"BCOO on {where}", ratios)
    console.print(table)
    return rows


@jax.jit
def _product(kernel: Any, x: Any) -> Any:
    return (kernel.T @ x.T).T if isinstance(kernel, sparse.BCOO) else x @ kernel


def _bytes(save: Any, *arrays: np.ndarray) -> int:
    file = io.BytesIO()
    save(file, *arrays)
    return file.tell()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    add_save(parser)
    asked = parser.parse_args()
    rows = real_sizes(asked.quick) + speed(asked.quick) + single_zeros(asked.quick)
    save(asked.save, rows)
