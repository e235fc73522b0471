"""The curve of each penalty and its prox, for one weight and for two.

    python examples/penalty_curves.py            # about 15 seconds
    python examples/penalty_curves.py --quick    # the same on a coarser grid

The prox of a penalty is one step of its own: of all z the one with least step·R(z) + ½‖z − w‖². Where it is
flat at zero the penalty makes weights exactly zero; where it comes back to the diagonal it leaves large
weights as they are; where it jumps a small change of a weight makes a large difference. Those whose curve has
a finite slope at zero reach their zeros under `penalized`, with any optimizer; the others train with
`proximal`.

A table is printed: up to which weight the prox is zero, and what it leaves of a weight of 1 and of 3. Written
to ./penalty_curves.png, one weight, and ./penalty_levels.png, two: the level lines, and whereto the prox
moves the points of three circles.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from penalties import (
    L0,
    L1,
    L2,
    MCP,
    OSCAR,
    SCAD,
    ElasticNet,
    GroupLasso,
    Huber,
    LHalf,
    LogSum,
    LTwoThirds,
    Penalty,
    SettlingPenalty,
    TotalVariation,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

OF_ONE = {
    "L1": L1(1.0),
    "L2": L2(0.5),
    "ElasticNet": ElasticNet(0.5, 0.25),
    "Huber": Huber(1.0, delta=1.0),
    "MCP": MCP(1.0, gamma=2.0),
    "SCAD": SCAD(0.7, a=3.0),
    "LogSum": LogSum(1.0, epsilon=1.0),
    "L0": L0(0.5),
    "LHalf": LHalf(0.6),
    "LTwoThirds": LTwoThirds(0.7),
}
OF_TWO = {
    "L1": L1(0.7),
    "L2": L2(0.4),
    "one group": GroupLasso(0.5, axis=()),
    "one group + L1": GroupLasso(0.3, axis=()) + L1(0.4),
    "OSCAR": OSCAR(0.3, 0.6),
    "TotalVariation": TotalVariation(0.6),
    "MCP": MCP(0.7, gamma=2.0),
    "LHalf": LHalf(0.5),
}
WITH_RULE, WITHOUT, MOVED, AT_KINK = "#1f6fb4", "#8a6d3b", "0.55", "#d1495b"
REACH = 3.0


def curves(penalty: Penalty, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value and the prox of each of these weights, as if it were alone."""
    values = jax.vmap(penalty)(jnp.asarray(w)[:, None])
    return np.asarray(values), np.asarray(penalty.prox(jnp.asarray(w)))


def has_zeros(penalty: Penalty) -> bool:
    """Whether `penalized` reaches exact zeros with it."""
    return isinstance(penalty, SettlingPenalty) and penalty.kink


def report(console: Console) -> None:
    table = Table(title="One weight, step 1")
    table.add_column("penalty")
    for column in ("zero up to", "leaves of 1", "leaves of 3"):
        table.add_column(column, justify="right")
    table.add_column("exact zeros under penalized")
    w = np.linspace(0, REACH, 3001)
    for name, penalty in OF_ONE.items():
        zeros = w[curves(penalty, w)[1] == 0].max()
        one, three = np.asarray(penalty.prox(jnp.array([1.0, 3.0])))
        says = "yes" if has_zeros(penalty) else "no kink" if not penalty.kink else "by proximal"
        table.add_row(name, f"{zeros:.2f}", f"{one:.2f}", f"{three:.2f}", says)
    console.print(table)


def draw_curves(points: int, path: Path) -> None:
    """For each penalty of one weight its curve, and below it its prox."""
    w = np.linspace(-REACH, REACH, points)
    columns = len(OF_ONE) // 2
    figure, axes = plt.subplots(4, columns, figsize=(14, 11), layout="constrained", sharex=True)
    for i, (name, penalty) in enumerate(OF_ONE.items()):
        top = axes[2 * (i // columns), i % columns]
        bottom = axes[2 * (i // columns) + 1, i % columns]
        value, prox = curves(penalty, w)
        colour = WITH_RULE if has_zeros(penalty) or not penalty.kink else WITHOUT
        top.plot(w, value, color=colour, linewidth=2.2)
        top.set(ylim=(-0.1, 3.2))
        top.set_title(name, fontsize=14, fontweight="bold")
        # A jump is drawn as none, and not as a steep line.
        jump = np.flatnonzero(np.abs(np.diff(prox)) > 0.2)
        bottom.plot([-REACH, REACH], [-REACH, REACH], color="0.75", linewidth=0.9, linestyle=":")
        bottom.plot(
            np.insert(w, jump + 1, np.nan), np.insert(prox, jump + 1, np.nan), color=colour, linewidth=2.2
        )
        zero = np.where(prox == 0, 0.0, np.nan)
        if np.sum(prox == 0) > 1:
            bottom.plot(w, zero, color=AT_KINK, linewidth=3.6, solid_capstyle="butt")
        bottom.set(ylim=(-REACH, REACH))
    for row, label in zip(axes, 2 * ["penalty", "prox, step 1"], strict=True):
        row[0].set_ylabel(label, fontsize=12)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.axhline(0, color="0.85", linewidth=0.8, zorder=0)
        ax.axvline(0, color="0.85", linewidth=0.8, zorder=0)
    figure.supxlabel(
        "one weight · red: it becomes exactly zero · blue: trains under penalized, with any optimizer · "
        "brown: infinite slope at zero, trains with proximal",
        fontsize=12,
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_levels(points: int, path: Path) -> None:
    """For each penalty of two weights its level lines, and whereto its prox moves three circles."""
    line = np.linspace(-REACH, REACH, points)
    plane = np.stack(np.meshgrid(line, line), -1).astype(np.float32)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False) + np.pi / 24
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    circles = np.concatenate([radius * circle for radius in (0.6, 1.5, 2.6)])
    figure, axes = plt.subplots(2, len(OF_TWO) // 2, figsize=(14, 7.6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)
    for ax, (name, penalty) in zip(axes.flat, OF_TWO.items(), strict=True):
        values = jax.vmap(penalty)(jnp.asarray(plane.reshape(-1, 2))).reshape(points, points)
        moved = np.asarray(jax.vmap(penalty.prox)(jnp.asarray(circles, jnp.float32)))
        ax.contour(line, line, values, levels=8, colors=[WITH_RULE], linewidths=0.8, alpha=0.6)
        for start, end in zip(circles, moved, strict=True):
            ax.plot(*zip(start, end, strict=True), color=MOVED, linewidth=0.7)
        kinks = at_kink(name, moved)
        ax.scatter(*moved[~kinks].T, s=16, color="0.25", zorder=3, linewidth=0)
        ax.scatter(*moved[kinks].T, s=22, color=AT_KINK, zorder=4, linewidth=0)
        ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xticks=[], yticks=[])
        ax.set_title(name, fontsize=14, fontweight="bold")
    figure.supxlabel(
        "two weights · blue: level lines · grey: from each point of three circles to its prox · "
        "red: at a kink, where a weight is zero or (OSCAR, TotalVariation) two are equal",
        fontsize=12,
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


def at_kink(name: str, pairs: np.ndarray) -> np.ndarray:
    """Whether each pair of weights is where the penalty has a kink, up to rounding."""
    one, other = np.abs(pairs.T) if name == "OSCAR" else pairs.T
    equal = np.isclose(one, other, atol=1e-5) & (name in {"OSCAR", "TotalVariation"})
    zero = np.any(pairs == 0, axis=1) & (name not in {"TotalVariation", "one group"})
    return equal | zero | np.all(pairs == 0, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(), help="the folder for the pictures")
    parser.add_argument("--quick", action="store_true", help="a coarser grid")
    args = parser.parse_args()
    report(Console())
    draw_curves(301 if args.quick else 2001, args.out / "penalty_curves.png")
    draw_levels(61 if args.quick else 241, args.out / "penalty_levels.png")


if __name__ == "__main__":
    main()
