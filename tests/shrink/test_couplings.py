"""Which axes belong together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penalties import couplings
from penalties._shrink.labels import Labels


class TestLabels:
    def test_unite_and_pin(self):
        labels = Labels()
        a, b, c = labels.fresh(3), labels.fresh(3), labels.fresh(3)
        labels.unite(a, b)
        labels.pin(a[:1], "first")
        labels.unite(b, c)
        labels.pin(c[1:2], "second")
        np.testing.assert_array_equal(labels.find(a), labels.find(c))
        np.testing.assert_array_equal(labels.is_pinned(c), [True, True, False])
        assert [labels.reason(int(x)) for x in b] == ["first", "second", ""]

    @given(
        st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40), st.sets(st.integers(0, 19))
    )
    def test_unions_are_those_of_a_graph(self, pairs, pins):
        """Against the connected components that SciPy finds."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        labels = Labels()
        axis = labels.fresh(20)
        labels.pin(axis[sorted(pins)], "pinned")
        half = len(pairs) // 2
        for part in (pairs[:half], pairs[half:]):
            a, b = (np.array([p[k] for p in part], int) for k in (0, 1))
            labels.unite(axis[a], axis[b])
        a, b = (np.array([p[k] for p in pairs], int) for k in (0, 1))
        _, expected = connected_components(coo_matrix((np.ones(len(a)), (a, b)), (20, 20)), directed=False)
        root = labels.find(axis)
        np.testing.assert_array_equal(root[:, None] == root, expected[:, None] == expected)
        pinned = np.isin(expected, expected[sorted(pins)])
        np.testing.assert_array_equal(labels.is_pinned(axis), pinned)

    def test_a_flat_axis_goes_with_its_parts(self):
        labels = Labels()
        heads, dims = labels.fresh(2), labels.fresh(3)
        flat = labels.merge([heads, dims])
        labels.resolve()
        base = np.ones(labels.count, bool)
        base[labels.find(heads[:1])] = False
        base[labels.find(dims[2:])] = False
        np.testing.assert_array_equal(labels.kept(base)[labels.find(flat)], [0, 0, 0, 1, 1, 0])

    def test_with_one_free_part_it_is_that_part(self):
        labels = Labels()
        flat = labels.merge([labels.pinned(2, "space"), channel := labels.fresh(3)])
        np.testing.assert_array_equal(flat, np.tile(channel, 2))

    def test_a_pinned_flat_position_pins_its_parts(self):
        labels = Labels()
        heads, dims = labels.fresh(2), labels.fresh(3)
        labels.pin(labels.merge([heads, dims])[:1], "why")
        labels.resolve()
        np.testing.assert_array_equal(labels.is_pinned(heads), [True, False])
        np.testing.assert_array_equal(labels.is_pinned(dims), [True, False, False])

    def test_an_axis_cut_in_two_ways_is_pinned(self):
        labels = Labels()
        flat = labels.fresh(12)
        labels.split(flat, [2, 6])
        labels.split(flat, [2, 2, 3])
        labels.resolve()
        assert labels.is_pinned(flat).all()

    def test_an_axis_that_is_part_of_itself_ends(self):
        labels = Labels()
        flat = labels.fresh(4)
        a, b = labels.split(flat, [2, 2])
        more = labels.merge([a, b])
        labels.unite(more, flat[::-1])
        labels.unite(flat[:2], a)
        labels.resolve()
        labels.bases(labels.find(flat))


X = jnp.ones((4, 3))


def classes(fn, params, *inputs):
    return [
        (found.units, [(axis.path, axis.axis) for axis in found.axes])
        for found in couplings(fn, params, *inputs)
    ]


def test_residual_stream_and_branch():
    params = {
        "in": jnp.ones((3, 6)),
        "up": jnp.ones((6, 5)),
        "down": jnp.ones((5, 6)),
        "out": jnp.ones((6, 2)),
    }

    def network(p, x):
        h = x @ p["in"]
        return (h + jnp.tanh(h @ p["up"]) @ p["down"]) @ p["out"]

    assert classes(network, params, X) == [
        (5, [("down", 0), ("up", 1)]),
        (6, [("down", 1), ("in", 1), ("out", 0), ("up", 0)]),
    ]


def test_flatten_and_what_makes_a_unit():
    params = {"c": jnp.ones((3, 3, 2, 4)), "d": jnp.ones((5 * 5 * 4, 2))}

    def network(p, x):
        h = jax.lax.conv_general_dilated(
            x, p["c"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return h.reshape(len(h), -1) @ p["d"]

    (found,) = couplings(network, params, jnp.ones((2, 5, 5, 2)))
    made, read = found.axes
    assert (made.path, made.axis, made.makes, made.summed) == ("c", 3, True, False)
    assert (read.path, read.axis, read.makes, read.summed) == ("d", 0, False, True)
    np.testing.assert_array_equal(read.positions[1], np.arange(1, 100, 4))


def test_heads_and_dims_of_a_flat_axis_are_two_classes():
    params = {"q": jnp.ones((3, 4)), "o": jnp.ones((4, 3))}

    def network(p, x):
        q = (x @ p["q"]).reshape(-1, 2, 2)
        score = jax.nn.softmax(jnp.einsum("ahd,bhd->hab", q, q))
        return jnp.einsum("hab,bhd->ahd", score, q).reshape(-1, 4) @ p["o"]

    found = couplings(network, params, X)
    assert [c.units for c in found] == [2, 2]
    assert [c.name for c in found] == ["q axis 1", "q axis 1'"]
    np.testing.assert_array_equal(found["q axis 1"].axes[0].positions, [[0, 1], [2, 3]])
    np.testing.assert_array_equal(found["q axis 1'"].axes[0].positions, [[0, 2], [1, 3]])
    with pytest.raises(KeyError, match="no class"):
        found["k"]


def test_square_kernels_have_both_axes_in_one_class():
    def network(p, x):
        return (
            jax.lax.scan(lambda h, x: (jnp.tanh(x @ p["i"] + h @ p["h"]), None), jnp.zeros(5), x)[0] @ p["o"]
        )

    params = {"i": jnp.ones((3, 5)), "h": jnp.ones((5, 5)), "o": jnp.ones((5, 2))}
    (found,) = couplings(network, params, X)
    assert [(a.path, a.axis, a.makes) for a in found.axes] == [
        ("h", 0, False),
        ("h", 1, True),
        ("i", 1, True),
        ("o", 0, False),
    ]


def test_reasons():
    params = {"table": jnp.ones((9, 4)), "gain": jnp.ones(4), "count": jnp.ones(4, jnp.int32)}

    def network(p, x):
        return jax.nn.softmax(p["table"][x] * (p["gain"] * p["count"].astype(float))[None, None], axis=1)

    why = {(a.path, a.axis): a.why for a in couplings(network, params, jnp.zeros((2, 3), int)).pinned}
    assert why[("table", 0)] == "read by index"
    assert ("count", 0) not in why  # no weight
    assert why[("gain", 0)] in ("an output", "it belongs to a leaf that is no floating-point array")


def test_prints_in_notebooks_and_terminals():
    found = couplings(lambda p, x: jnp.tanh(x @ p[0]) @ p[1], [jnp.ones((3, 4)), jnp.ones((4, 2))], X)
    assert "0 of 4, summed over" in repr(found)
    assert "<td" in found._repr_html_()
    assert len(found) == 1
    assert found[0] is next(iter(found))
