"""How long tracing and compiling take, against the optimizer's own update. Each in a new process."""

import statistics
import time

from benchmarks.new_process import answer, seconds_in_new_process
from benchmarks.results import Row

SHAPES = [(32, 48), (48,), (16, 8), (64,)]
GOALS = {"penalized(adam, L1)": 2.0, "penalized(adam, GroupLasso)": 5.0}


def measured(what: str, leaves: int) -> float:
    """Seconds to trace and compile one function, in this process."""
    import jax
    import jax.numpy as jnp
    import optax

    from penalties import L1, L2, ElasticNet, GroupLasso, add_penalty, penalized

    params = {f"leaf_{i}": jnp.ones(SHAPES[i % len(SHAPES)]) for i in range(leaves)}
    optimizers = {
        "adam": optax.adam(1e-3),
        "penalized(adam, L1)": penalized(optax.adam(1e-3), L1(1e-3)),
        "penalized(adam, GroupLasso)": penalized(optax.adam(1e-3), GroupLasso(1e-3)),
        "add_penalty(L1), adam": optax.chain(add_penalty(L1(1e-3)), optax.adam(1e-3)),
    }
    values = {
        "L1": lambda p: L1(1e-3)(p),
        "L2": lambda p: L2(1e-3)(p),
        "ElasticNet": lambda p: ElasticNet(1e-3, 1e-3)(p),
        "hand-written": lambda p: 1e-3 * sum(jnp.sum(jnp.abs(w)) for w in jax.tree.leaves(p)),
    }
    if what in optimizers:
        function, args = jax.jit(optimizers[what].update), (params, optimizers[what].init(params), params)
    elif what.endswith(" step"):
        function, args = _step(optimizers[what.removesuffix(" step")], leaves)
    else:
        function, args = jax.jit(jax.value_and_grad(values[what])), (params,)
    start = time.perf_counter()
    function.lower(*args).compile()
    return time.perf_counter() - start


def _step(optimizer, leaves):
    """A training step of an MLP with this many leaves, half kernels and half biases."""
    import jax
    import jax.numpy as jnp
    import optax

    params = [{"kernel": jnp.ones((32, 32)), "bias": jnp.ones(32)} for _ in range(leaves // 2)]
    x = jnp.ones((16, 32))

    def loss(params):
        h = x
        for layer in params:
            h = jax.nn.relu(h @ layer["kernel"] + layer["bias"])
        return jnp.mean(h * h)

    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step), (params, optimizer.init(params))


def compiling(sizes: list[int], repeats: int) -> list[Row]:
    """Values against adam's update at each size; the hand-written sum where it ends in reasonable time."""
    from rich.progress import track

    from benchmarks.timing import Ratio, console, show

    rivals = {
        leaves: ["adam", "L1", "L2", "ElasticNet", "add_penalty(L1), adam"]
        + (["hand-written"] if leaves <= 400 else [])
        + (["penalized(adam, L1)", "penalized(adam, GroupLasso)"] if leaves == 400 else [])
        + (["adam step", "penalized(adam, L1) step"] if leaves == 400 else [])
        for leaves in sizes
    }
    jobs = [(leaves, what) for _ in range(repeats) for leaves in sizes for what in rivals[leaves]]
    times: dict[tuple[int, str], list[float]] = {job: [] for job in jobs}
    for job in track(jobs, "compiling", console=console):
        times[job].append(seconds_in_new_process("benchmarks.compiling", job[1], job[0]))
    middle = {job: statistics.median(t) for job, t in times.items()}
    ratios = []
    for leaves in sizes:
        adam = middle[leaves, "adam"]
        for what, goal in (("L1", 1.1), ("L2", 1.1), ("ElasticNet", 1.1), ("add_penalty(L1), adam", None)):
            ratios.append(
                Ratio(f"{what}, {leaves} leaves", "adam's update", middle[leaves, what], adam, goal)
            )
        if "hand-written" in rivals[leaves]:
            hand = middle[leaves, "hand-written"]
            ratios.append(Ratio(f"L1, {leaves} leaves", "hand-written", middle[leaves, "L1"], hand))
        for what in ("penalized(adam, L1)", "penalized(adam, GroupLasso)"):
            if what in rivals[leaves]:
                ratios.append(
                    Ratio(
                        f"{what}, {leaves} leaves", "adam's update", middle[leaves, what], adam, GOALS[what]
                    )
                )
        if "adam step" in rivals[leaves]:
            plain, ours = middle[leaves, "adam step"], middle[leaves, "penalized(adam, L1) step"]
            ratios.append(
                Ratio(f"a step with penalized(adam, L1), {leaves} leaves", "adam's step", ours, plain, 1.6)
            )
    return show("tracing and compiling", ratios, unit="s")


if __name__ == "__main__":
    answer(measured)
