"""Nonconvex penalties of single weights: their proxes are global minima, for any step, to the last digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import L0, MCP, SCAD, LHalf, LogSum, LTwoThirds

from cases.nonconvex import mcp_sizes, scad_sizes

SIZES = {
    "SCAD": (SCAD, scad_sizes),
    "MCP": (MCP, mcp_sizes),
    "LogSum": (lambda s: LogSum(s, epsilon=0.5), lambda r, s: s * np.log1p(r / 0.5)),
    "L0": (L0, lambda r, s: s * (r != 0)),
    "LHalf": (LHalf, lambda r, s: s * np.sqrt(r)),
    "LTwoThirds": (LTwoThirds, lambda r, s: s * np.cbrt(r) ** 2),
}
every_penalty = pytest.mark.parametrize("name", SIZES)
every_power = pytest.mark.parametrize("name", ["LHalf", "LTwoThirds"])


@every_penalty
# SCAD's objective is convex for steps below a − 1 = 2.7; from a + 1 = 4.7 on it has no soft part.
@pytest.mark.parametrize("step", [0.1, 1.0, 2.6, 2.8, 4.0, 4.6, 4.8, 20.0])
@pytest.mark.parametrize("strength", [0.05, 0.7])
def test_prox_is_the_global_minimum_for_any_step(name, step, strength, x64):
    penalty, phi = SIZES[name]
    r = np.linspace(0, 12, 301)
    grid = np.append(np.linspace(0, 12.5, 2501), 0)[:, None]
    best = np.min(step * phi(grid, strength) + 0.5 * (grid - r) ** 2, axis=0)
    z = np.asarray(penalty(strength).prox(r, step))
    assert np.all(z >= 0)
    assert np.all(step * phi(z, strength) + 0.5 * (z - r) ** 2 <= best + 1e-12)
    np.testing.assert_array_equal(np.asarray(penalty(strength).prox(-r, step)), -z)


@pytest.mark.parametrize(
    ("penalty", "longest"),
    [(SCAD(1.0, a=3.7), 2.7), (MCP(1.0, gamma=3.0), 3.0), (LogSum(1.0, epsilon=1), 1.0)],
)
def test_prox_is_continuous_up_to_the_step_that_is_stated(penalty, longest, x64):
    r = np.linspace(0, 12, 120_001)
    for step in (0.1, 0.5 * longest, 0.9 * longest):
        slopes = np.diff(penalty.prox(r, step)) / np.diff(r)
        assert slopes.max() <= 1 / (1 - step / longest) + 1e-6
    assert np.diff(penalty.prox(r, 1.2 * longest)).max() > 0.1


def exact_size(r: np.ndarray, t: float, q: float) -> np.ndarray:
    """argmin_{z ≥ 0} t·z^q + ½(z − r)², by bisection in extended precision."""
    r, t, q = r.astype(np.longdouble), np.longdouble(t), np.longdouble(q)
    low = np.full_like(r, (t * q * (1 - q)) ** (1 / (2 - q)))  # where the slope turns
    high = np.maximum(r, low)
    inside = low - r + t * q * low ** (q - 1) < 0
    for _ in range(90):
        middle = (low + high) / 2
        up = middle - r + t * q * middle ** (q - 1) < 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return np.where(inside & (t * high**q + (high - r) ** 2 / 2 < r**2 / 2), high, 0)


@every_power
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_closed_forms_are_right_to_the_last_digits(name, dtype, x64):
    penalty, q = SIZES[name][0], {"LHalf": 1 / 2, "LTwoThirds": np.longdouble(2) / 3}[name]
    edge = {"LHalf": 1.5 * 0.375 ** (2 / 3), "LTwoThirds": 2 * 0.25**0.75}[name]
    r = np.concatenate([np.geomspace(1e-6, 1e6, 200), edge * np.linspace(1.0001, 3, 200)]).astype(dtype)
    z = np.asarray(penalty(1.0).prox(r, 0.375))
    exact = exact_size(r, 0.375, q)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z == 0, exact == 0)
    assert np.max(np.abs(z - exact) / np.spacing(np.maximum(z, np.finfo(dtype).tiny))) < 8


@every_power
def test_weights_just_below_the_threshold_are_exactly_zero_and_just_above_are_not_small(name):
    edge, lowest = {"LHalf": (1.5, 1.0), "LTwoThirds": (2 * (2 / 3) ** 0.75, (2 / 3) ** 0.75)}[name]
    z = SIZES[name][0](1.0).prox(jnp.array([1 - 1e-6, -1 + 1e-6, 1 + 1e-6, -1 - 1e-6]) * edge)
    np.testing.assert_array_equal(z[:2], 0)
    np.testing.assert_allclose(z[2:], [lowest, -lowest], rtol=1e-4)


def test_rounding_makes_no_weight_larger_and_none_of_the_other_sign():
    near = 1 + np.linspace(-1e-5, 1e-5, 101, dtype=np.float32)
    r = np.float32(1.03201854 * 0.56520975) * near
    assert np.all(MCP(0.56520975, gamma=1.03201854).prox(r, 1.02820742) <= r)
    penalty, r = LogSum(33.345711, epsilon=112.82863), np.float32(59.416832) * near
    assert np.all(penalty.prox(r, 201.04294) >= 0)
    assert np.all(penalty.prox(-r, 201.04294) <= 0)


def test_hard_threshold():
    w = jnp.array([0.999, 1.001, -0.999, -1.001, 0.0, 1e30, jnp.inf])
    np.testing.assert_array_equal(L0(0.5).prox(w), np.where(np.abs(w) > 1, w, 0))
    assert L0(0.5)(w) == 3.0
    assert np.isnan(L0(0.5)(jnp.array([jnp.nan])))


@every_penalty
def test_complex_weights_keep_their_phase(name):
    penalty = SIZES[name][0](0.3)
    w = jnp.asarray([3 + 4j, 0, -0.01j])
    z = np.asarray(penalty.prox(w))
    np.testing.assert_allclose(np.abs(z), penalty.prox(jnp.abs(w)), rtol=1e-6)
    np.testing.assert_allclose(z[0] / np.abs(z[0]), 0.6 + 0.8j, rtol=1e-6)
    np.testing.assert_allclose(penalty(w), penalty(jnp.abs(w)), rtol=1e-6)


@pytest.mark.parametrize("name", ["L0", "LHalf", "LTwoThirds"])
def test_gradients_are_zero_at_zero_and_finite_everywhere(name):
    penalty = SIZES[name][0](0.3)
    w = jnp.array([0.0, -0.0, 1e-30, -1e-30, 2.0, -2.0])
    gradient = jax.grad(penalty)(w)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[:2], 0)
    assert np.all(np.sign(gradient[2:]) == (0 if name == "L0" else np.sign(w[2:])))
    # Of the gradient as well, by weights and by strengths.
    w = w.at[2:4].set(0.0)
    products = jax.grad(lambda w, s: jnp.sum(jax.grad(SIZES[name][0](s))(w) ** 2), argnums=(0, 1))(w, 0.3)
    assert np.all(np.isfinite(products[0]))
    assert np.isfinite(products[1])


@every_penalty
def test_derivatives_of_proxes_are_finite_at_step_zero_as_well(name):
    w = jnp.array([0.0, -0.0, 1e-3, 2.0, -2.0])
    by_prox = jax.jit(jax.grad(lambda w, s, t: jnp.sum(SIZES[name][0](s).prox(w, t) ** 2), argnums=(0, 1, 2)))
    for step in (0.0, 0.7, 20.0):
        assert all(np.all(np.isfinite(g)) for g in by_prox(w, 0.3, step))


def test_scad_is_the_integral_of_its_slope(x64):
    penalty, r = SCAD(0.7, a=2.5), jnp.linspace(0, 3, 3001)
    slopes, values = jax.vmap(jax.grad(penalty))(r[:-1] + 5e-4), jax.vmap(penalty)(r)
    np.testing.assert_allclose(np.cumsum(slopes) * 1e-3, values[1:], atol=1e-6)


def test_scad_refuses_shapes_out_of_range():
    for wrong in (2.0, 1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"SCAD\.a is .*: expected a finite number > 2"):
            SCAD(0.1, a=wrong)
    assert np.isnan(jax.jit(lambda a: SCAD(0.1, a=a)(jnp.ones(2)))(1.5))
    assert np.all(np.isnan(jax.jit(lambda a: SCAD(0.1, a=a).prox(jnp.ones(2)))(1.5)))
    assert (2 * SCAD(0.3, a=4)).a == 4.0


# Against skglm and PyProximal


@pytest.fixture
def skglm():
    return pytest.importorskip("skglm.utils.prox_funcs", exc_type=ImportError)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.3, 1.0, 2.0])
@pytest.mark.filterwarnings("ignore")
def test_proxes_are_those_of_skglm(step, skglm, x64):
    r = np.concatenate([np.linspace(-6, 6, 241), [1e3, -1e3]])

    def theirs(prox, *numbers):
        return [prox.py_func(x, *numbers) for x in r]

    s = 0.7
    np.testing.assert_allclose(LHalf(s).prox(r, step), theirs(skglm.prox_05, s * step), atol=1e-12)
    np.testing.assert_allclose(LTwoThirds(s).prox(r, step), theirs(skglm.prox_2_3, s * step), atol=1e-6)
    np.testing.assert_allclose(MCP(s).prox(r, step), theirs(skglm.prox_MCP, step, s, 3.0), atol=1e-12)
    np.testing.assert_allclose(SCAD(s).prox(r, step), theirs(skglm.prox_SCAD, step, s, 3.7), atol=1e-12)
    log_sum = theirs(skglm.prox_log_sum, s * step, 1.5)
    np.testing.assert_allclose(LogSum(s, epsilon=1.5).prox(r, step), log_sum, atol=1e-12)
    np.testing.assert_allclose(SCAD(s)(r), skglm.value_SCAD.py_func(r, s, 3.7), rtol=1e-12)
    np.testing.assert_allclose(MCP(s)(r), skglm.value_MCP.py_func(r, s, 3.0), rtol=1e-12)


def costs(name, step, s, theirs, r):
    """step·φ(z) + ½(z − r)² of our prox and of theirs."""
    penalty, phi = SIZES[name]
    proxes = np.asarray(penalty(s).prox(r, step)), np.array([theirs(x) for x in r])
    return [step * phi(np.abs(z), s) + 0.5 * (z - r) ** 2 for z in proxes]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_where_skglm_differs_ours_is_the_lower_minimum(skglm, x64):
    r = np.linspace(0, 6, 121)
    # A step beyond γ.
    ours, theirs = costs("MCP", 4.0, 0.7, lambda x: skglm.prox_MCP.py_func(x, 4.0, 0.7, 3.0), r)
    assert np.all(ours <= theirs + 1e-12)
    assert np.max(theirs - ours) > 0.5
    # Large weights: their cube root is of a difference of two large numbers.
    large = np.geomspace(1e3, 1e6, 31)
    ours, theirs = costs("LTwoThirds", 1.0, 0.7, lambda x: skglm.prox_2_3.py_func(x, 0.7), large)
    assert np.max(theirs - ours) > 1e-5
    assert np.all(ours <= theirs + 1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_proxes_of_pyproximal_and_where_ours_is_the_lower_minimum(x64):
    pyproximal = pytest.importorskip("pyproximal", exc_type=ImportError)
    s, r = 0.7, np.linspace(-6, 6, 241)

    def theirs(operator, step):
        return lambda x: operator.prox(np.array([x]), step)[0]

    scad, log = pyproximal.SCAD(s, 3.7), pyproximal.Log(s, 2.0)
    for step in (0.3, 1.0, 2.6):
        np.testing.assert_allclose(SCAD(s).prox(r, step), scad.prox(r, step), atol=1e-12)
        ours = LogSum(s / np.log(3), epsilon=0.5)  # theirs is divided by log(γ + 1), ε is 1/γ
        np.testing.assert_allclose(ours.prox(r, step), log.prox(r, step), atol=1e-12)
    np.testing.assert_allclose(SCAD(s)(r), scad(r), rtol=1e-12)
    # A step beyond a − 1.
    ours, other = costs("SCAD", 4.0, s, theirs(scad, 4.0), np.abs(r))
    assert np.all(ours <= other + 1e-12)
    assert np.max(other - ours) > 0.5
    # Theirs is the hard threshold at step·strength, which is no prox of ‖w‖₀: that is at √(2·step·strength).
    l0 = pyproximal.L0(s)
    ours, other = costs("L0", 1.0, s, theirs(l0, 1.0), np.abs(r))
    assert np.all(ours <= other)
    assert np.max(other - ours) > 0.3
    assert l0(r) == np.count_nonzero(r)  # and not times the strength
