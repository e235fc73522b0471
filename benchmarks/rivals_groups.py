"""Groups: `penalized` against RAMDA and ProxGen, and what a lower objective means.

python -m benchmarks.rivals_groups            about four minutes on two cores
python -m benchmarks.rivals_groups --quick    few steps, to see that it runs

A ReLU network computes the same when one layer is divided by c and the next multiplied by it. With a
group lasso on the hidden layers and none on the last, the objective therefore has no minimum: the lower
one is that of the optimizer which makes the last layer grow faster. `at equal size` compares the same
functions rescaled, without training, until the last kernels have one norm and the hidden layers share
the rest in the cheapest way. With the last layer frozen there is a minimum to compare by. The rate of each
is the best of four, a decade and a half apart, by the objective.

RAMDA: Huang and Lee, arXiv 2403.14398, with restarts. ProxGen: Yun, Lozano and Yang, NeurIPS 2021.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from benchmarks.results import Row, add_save, save
from benchmarks.rivals.regularizers import Groups
from penalties import GroupLasso, penalized

WIDTHS, BATCH, STRENGTH, SIZE = (64, 300, 100, 10), 64, 5e-4, 10.0


def hidden_prox(params, metric, step):
    """The prox on the hidden kernels; all other leaves as they are."""
    hidden, groups = range(len(WIDTHS) - 2), Groups(STRENGTH)
    return [
        layer | {"kernel": groups.metric_prox(layer["kernel"], metric[i]["kernel"], step)}
        if i in hidden
        else layer
        for i, layer in enumerate(params)
    ]


def proxgen(rate):
    """The proximal step in adam's metric."""
    adam = optax.scale_by_adam()

    def update(grads, state, params):
        steps, state = adam.update(grads, state)
        moved = jax.tree.map(lambda w, u: w - rate(state.count - 1) * u, params, steps)
        metric = jax.tree.map(lambda v: jnp.sqrt(v / (1 - 0.999**state.count)) + 1e-8, state.nu)
        new = hidden_prox(moved, metric, rate(state.count - 1))
        return jax.tree.map(jnp.subtract, new, params), state

    return optax.GradientTransformation(adam.init, update)


def ramda(rate, steps, momentum=0.1, stages=4):
    """Dual averaging from the start of each stage, in a cube-root metric; a tenth of the rate in each."""

    def init(params):
        nothing = jax.tree.map(jnp.zeros_like, params)
        return params, nothing, nothing, jnp.zeros(()), jnp.zeros((), jnp.int32)

    def update(grads, state, params):
        start, gradients, squares, total, count = state
        stage = jnp.minimum(count // (steps // stages), stages - 1)
        step = count - stage * (steps // stages) + 1
        restart, weight = step == 1, rate * 0.1**stage * jnp.sqrt(step)

        def accumulate(old, new):
            return jnp.where(restart, 0, old) + weight * new

        start = jax.tree.map(lambda old, w: jnp.where(restart, w, old), start, params)
        gradients = jax.tree.map(accumulate, gradients, grads)
        squares = jax.tree.map(lambda old, g: accumulate(old, g * g), squares, grads)
        total = accumulate(total, 1.0)
        metric = jax.tree.map(lambda s: jnp.cbrt(s) + 1e-6 * 0.1**stage, squares)
        averaged = jax.tree.map(lambda w, g, m: w - g / m, start, gradients, metric)
        mixed = jnp.where(stage == stages - 1, jnp.minimum(momentum * jnp.sqrt(step), 1), momentum)
        new = hidden_prox(averaged, metric, total)
        updates = jax.tree.map(lambda w, n: mixed * (n - w), params, new)
        return updates, (start, gradients, squares, total, count + 1)

    return optax.GradientTransformation(init, update)


def hastened(update):
    """The optimizer's step, ten times as long on the last layer and on biases: what has no penalty."""
    last = len(WIDTHS) - 2

    def faster(updates):
        return [
            {name: u if name == "kernel" and i < last else 10 * u for name, u in layer.items()}
            for i, layer in enumerate(updates)
        ]

    return optax.chain(update, optax.stateless(lambda updates, _: faster(updates)))


def forward(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
    return x @ params[-1]["kernel"] + params[-1]["bias"]


def loss(params, x, y):
    return optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y).mean()


def train(optimizer, steps, frozen, seed, x, y):
    keys = jax.random.split(jax.random.key(seed), len(WIDTHS))
    params = [
        {"kernel": jax.random.normal(key, (a, b)) * (2 / a) ** 0.5, "bias": jnp.zeros(b)}
        for key, a, b in zip(keys[1:], WIDTHS[:-1], WIDTHS[1:], strict=True)
    ]

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (BATCH,), 0, len(x))
        grads = jax.grad(loss)(params, x[rows], y[rows])
        updates, state = optimizer.update(grads, state, params)
        if frozen:
            updates = [*updates[:-1], jax.tree.map(jnp.zeros_like, updates[-1])]
        return (optax.apply_updates(params, updates), state), None

    carry = params, optimizer.init(params)
    return jax.lax.scan(step, carry, jax.random.split(keys[0], steps))[0][0]


def report(params, x, y):
    """Objective, the same at one size of the last kernel, that size, hidden units left."""
    parts = [GroupLasso(STRENGTH)(layer["kernel"]) for layer in params[:-1]]
    fit, last = loss(params, x, y), jnp.linalg.norm(params[-1]["kernel"])
    units = sum(jnp.any(layer["kernel"] != 0, 0).sum() for layer in params[:-1])
    balanced = 2 * jnp.sqrt(parts[0] * parts[1] * last / SIZE)  # the least a/c + b/d with c·d fixed
    return jnp.stack([fit + parts[0] + parts[1], fit + balanced, last, units])


def main(quick: bool) -> list[Row]:
    """A table with the last layer free, and one with it frozen."""
    rows = []
    steps, seeds = (40, 1) if quick else (3_000, 2)
    digits = load_digits()
    x, y = jnp.asarray(digits.data / 16, jnp.float32), jnp.asarray(digits.target)
    penalty = GroupLasso(STRENGTH).on("[01]/kernel")

    def cosine(rate):
        return optax.cosine_decay_schedule(rate, steps)

    rates = (1e-2, 3e-2, 1e-1, 3e-1)
    rivals = {
        "penalized(adam)": (lambda rate: penalized(optax.adam(cosine(rate)), penalty), rates),
        "the same, the rest × 10": (
            lambda rate: penalized(hastened(optax.adam(cosine(rate))), penalty),
            rates,
        ),
        "RAMDA": (lambda rate: ramda(rate, steps), (1e-1, 3e-1, 1.0, 3.0)),
        "ProxGen": (lambda rate: proxgen(cosine(rate)), rates),
    }
    for title, frozen in (("last layer free: no minimum", False), ("last layer frozen", True)):
        table = Table(title=title)
        for column in ("optimizer", "rate", "objective", "at equal size", "last kernel", "units left"):
            table.add_column(column, justify="left" if column == "optimizer" else "right")
        for name, (make, tried) in rivals.items():

            def run(rate, make=make, frozen=frozen):
                def of(seed):
                    return report(train(make(rate), steps, frozen, seed, x, y), x, y)

                return jax.vmap(of)(jnp.arange(seeds)).mean(0)

            results = np.stack([jax.jit(run)(rate) for rate in jnp.asarray(tried, jnp.float32)])
            best = int(np.nanargmin(results[:, 0]))
            objective, balanced, last, units = map(float, results[best])
            numbers = {
                "objective": objective,
                "at equal size": balanced,
                "last kernel": last,
                "units left": units,
            }
            rows.append(Row(title, name, {"rate": tried[best]} | numbers))
            table.add_row(
                name,
                f"{tried[best]:g}",
                f"{objective:.4f}",
                "–" if frozen else f"{balanced:.4f}",
                f"{last:.1f}",
                f"{units:.0f}",
            )
        Console().print(table)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps")
    add_save(parser)
    asked = parser.parse_args()
    save(asked.save, main(asked.quick))
