"""`shrink` on networks in which every second unit is zero, and beside it what others do to them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from rich.table import Table

from benchmarks.results import Row
from benchmarks.timing import console
from penalties import shrink

WIDTH = 16


def _heads_transposed(_: Any, h: Array) -> Array:
    return jax.nn.relu(h.reshape(-1, 4, 4)).transpose(0, 2, 1).reshape(-1, WIDTH)


def _layer_norm(_: Any, h: Array) -> Array:
    return jax.nn.standardize(h, epsilon=1e-5)


BETWEEN: dict[str, Callable[[Any, Array], Array]] = {
    "ReLU": lambda _, h: jax.nn.relu(h),
    "convolution, flatten": lambda _, h: jax.nn.relu(h).transpose(0, 3, 1, 2).reshape(len(h), -1),
    "convolution, channels last, flatten": lambda _, h: jax.nn.relu(h).reshape(len(h), -1),
    "gate of two halves, chunk": lambda _, h: jax.nn.glu(h),
    "gate of two halves, slices": lambda _, h: h[:, :WIDTH] * jax.nn.sigmoid(h[:, WIDTH:]),
    "flip": lambda _, h: jax.nn.relu(h[:, ::-1]),
    "roll": lambda _, h: jax.nn.relu(jnp.roll(h, 1, -1)),
    "repeat": lambda _, h: jax.nn.relu(jnp.tile(h, (1, 2))),
    "heads transposed": _heads_transposed,
    "product with a parameter": lambda params, h: jax.nn.relu(jax.nn.relu(h) @ params["kernel"]),
    "softmax": lambda _, h: jax.nn.softmax(h),
    "LayerNorm": _layer_norm,
    "RMS norm, written out": lambda _, h: h * jax.lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + 1e-6),
}


def cut(name: str) -> dict[str, Any]:
    """Units before and after, and the change of the outputs."""
    keys = jax.random.split(jax.random.key(0), 4)
    image = name.startswith("convolution")
    units, read = WIDTH * (2 if "halves" in name else 1), WIDTH * (2 if name == "repeat" else 1)
    shape = (3, 3, 1, units) if image else (8, units)
    params = {
        "up": jax.random.normal(keys[0], shape).at[..., ::2].set(0),
        "bias": jnp.ones(units).at[::2].set(0),
        "down": jax.random.normal(keys[1], (16 * read if image else read, 4)),
    }
    if name == "product with a parameter":
        params["kernel"] = jax.random.normal(keys[2], (WIDTH, WIDTH))
    x = jax.random.normal(keys[3], (64, 4, 4, 1) if image else (64, 8))

    def network(params: Any, x: Array) -> Array:
        if image:
            layout = ("NHWC", "HWIO", "NHWC")
            h = jax.lax.conv_general_dilated(x, params["up"], (1, 1), "SAME", dimension_numbers=layout)
        else:
            h = x @ params["up"]
        return BETWEEN[name](params, h + params["bias"]) @ params["down"]

    small = shrink(network, params, x)
    return {"units": units, "left": small.params["up"].shape[-1], "difference": small.report.outputs}


def outputs(theirs: dict[str, dict[str, Any]]) -> list[Row]:
    """The table; `theirs` is what `outputs_in_torch` prints, or empty."""
    found = {name: {"here": cut(name)} | theirs.get(name, {}) for name in BETWEEN}
    title = "every second unit is zero: units after the cut, and how much the outputs changed"
    table, rows = Table(title=title), list[Row]()
    table.add_column("between the layers")
    for way in found["ReLU"]:
        table.add_column(way, justify="right")
    for name, ways in found.items():
        table.add_row(name, *map(_cell, ways.values()))
        rows += [Row(title, f"{name}, {way}", at) for way, at in ways.items() if "error" not in at]
    console.print(table)
    return rows


def _cell(at: dict[str, Any]) -> str:
    if "error" in at:
        return f"[yellow]{at['error']}[/]"
    wrong = at["difference"] > 1e-5
    cell = f"{at['left']} of {at['units']}, {at['difference']:.0e}"
    return f"[red]{cell}[/]" if wrong else cell
