"""What `import penalties` brings along, and from where it works."""

import os
import subprocess
import sys
from pathlib import Path

import penalties

ROOT = Path(penalties.__file__).parent.parent

# Flax alone takes as long to import as JAX and optax do.
WHAT_IS_NEW = """
import sys
import jax, optax
before = set(sys.modules)
import penalties
import penalties.functional
print(sorted({name.split(".")[0] for name in set(sys.modules) - before} - {"penalties"}))
"""

IN_USE = """
import sys
import jax, jax.numpy as jnp, optax
import penalties
params = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
penalty = penalties.L1(0.1).on(penalties.kernels) + penalties.GroupLasso(0.1).on("dense/kernel")
penalty.prox(params), jax.grad(penalty)(params), penalties.sparsity(params)
penalties.describe(penalty, params)
print(sorted({"flax", "rich", "keras", "equinox", "matplotlib", "scipy.linalg"} & set(sys.modules)))
"""


def printed(code: str, **env: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | env,
        cwd="/",
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_importing_it_imports_nothing_else_than_jax_and_optax_do():
    assert printed(WHAT_IS_NEW) == "[]"


def test_no_framework_is_imported_that_the_user_did_not_import():
    assert printed(IN_USE) == "[]"


def test_it_works_from_a_source_tree_that_was_never_installed():
    hidden = (
        "import importlib.metadata as m; found = m.version\n"
        "def version(name):\n"
        "    if name == 'penalties': raise m.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "m.version = version\n"
        "import penalties, jax\n"
        "print(penalties.__version__, float(penalties.L1(0.5)(jax.numpy.ones(4))))"
    )
    assert printed(hidden, PYTHONPATH=str(ROOT)) == "0+unknown 2.0"
