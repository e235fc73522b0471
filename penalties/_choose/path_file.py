"""A path in one file: an npz archive of plain arrays, and JSON about them. No pickle, in or out."""

import json
import os
import tempfile
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from penalties._tree.opening import Opened

_FORMAT = "penalties path 1"
_ARRAYS = ("factors", "losses", "scores", "standard_errors", "optimality", "finite")


def write(file: str | os.PathLike[str], path: Any) -> None:
    """Writes the path, all of it or nothing: a crash leaves the file that was there."""
    leaves = [_plain(leaf, file) for leaf in jax.tree.leaves(path.params)]
    about = {
        "format": _FORMAT,
        "leaves": _described(jax.tree.map(lambda x: x[0], path.params)) if len(path) else [],
        "zeros": list(path.zeros),
        "sizes": path.sizes,
        "identity": path.identity,
    }
    arrays = {name: getattr(path, name) for name in _ARRAYS if getattr(path, name) is not None}
    arrays |= {f"zeros_{i}": counts for i, counts in enumerate(path.zeros.values())}
    arrays |= {f"params_{i}": leaf for i, leaf in enumerate(leaves)}
    file = os.fspath(file)
    handle, part = tempfile.mkstemp(dir=os.path.dirname(file) or ".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, about=np.array(json.dumps(about)), **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except BaseException:
        os.unlink(part)
        raise


def read(file: str | os.PathLike[str], params: Any) -> dict[str, Any]:
    """The fields of the path in the file, its params in the structure of these."""
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
            about = json.loads(str(arrays.pop("about")))
        if about["format"] != _FORMAT:
            raise ValueError(f"it is of the format {about['format']!r}, and not {_FORMAT!r}")
        found = {name: arrays.get(name) for name in _ARRAYS}
        zeros = {name: arrays[f"zeros_{i}"] for i, name in enumerate(about["zeros"])}
        stacked = [arrays[f"params_{i}"] for i in range(len(about["leaves"]))]
        points = {len(array) for array in [*zeros.values(), *stacked, *arrays.values()]}
        shapes = [list(array.shape[1:]) for array in stacked]
        if len(points) != 1 or shapes != [shape for _, shape, _ in about["leaves"]]:
            raise ValueError("its arrays do not fit together")
    except (ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(file)} holds no path that `Path.save` wrote: {error}") from error
    expected = _described(params)
    if about["leaves"] != expected:
        raise ValueError(
            f"{os.fspath(file)} holds the path of another model, {_difference(about['leaves'], expected)}: "
            "load it with params of that model, or fit into another file"
        )
    _, treedef = jax.tree.flatten(params)
    restored = [
        jnp.asarray(array.view(jnp.dtype(dtype)) if array.dtype != jnp.dtype(dtype) else array)
        for array, (_, _, dtype) in zip(stacked, expected, strict=True)
    ]
    return found | {
        "params": treedef.unflatten(restored),
        "zeros": zeros,
        "sizes": about["sizes"],
        "identity": about["identity"],
    }


def _plain(leaf: Any, file: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        raise TypeError(
            f"{os.fspath(file)}: a leaf of dtype {leaf.dtype} cannot be saved; keep keys out of params, or "
            "as `jax.random.key_data`"
        )
    array = np.asarray(leaf)
    # Those that NumPy does not know, such as bfloat16, as the bits they are.
    return array if array.dtype.kind in "biufc" else array.view(f"uint{8 * array.dtype.itemsize}")


def _described(params: Any) -> list[list[Any]]:
    return [
        [leaf.path, list(np.shape(leaf.value)), jnp.asarray(leaf.value).dtype.name]
        for leaf in Opened(params).leaves
    ]


def _difference(saved: list[list[Any]], expected: list[list[Any]]) -> str:
    for one, other in zip(saved, expected, strict=False):
        if one != other:
            return f"which has {_shown(one)} where params have {_shown(other)}"
    return f"which has {len(saved)} leaves where params have {len(expected)}"


def _shown(leaf: list[Any]) -> str:
    path, shape, dtype = leaf
    return f"{path!r} of shape {tuple(shape)} and dtype {dtype}"
