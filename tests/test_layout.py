"""Imports point one way: what each folder of the package may import of the others."""

import ast
from pathlib import Path

import pytest

import penalties

PACKAGE = Path(penalties.__file__).parent

# From the top down: each may import what stands below it.
FLOORS = [
    "keras",
    "plot",
    "functional",
    "_shrink",
    "_choose",
    "_measure",
    "_training",
    "_family",
    "_penalty",
    "_tree",
    "_tables",
    "_numerics",
]
# Floors that stand side by side.
APART = {
    ("_shrink", "_choose"),
    ("_shrink", "_training"),
    ("_shrink", "_measure"),
    ("_measure", "_family"),
    ("keras", "_shrink"),
    ("_tree", "_tables"),
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def floor(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The floors that a file imports, at its top or within its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("penalties.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    here = floor(path)
    below = set(FLOORS[FLOORS.index(here) + 1 :]) | {here}
    below -= {other for one, other in APART if one == here}
    if here == "keras":
        below |= set(penalties.__all__)  # it may use the public names
    assert imported(path) <= below


def test_every_folder_has_a_floor():
    assert {floor(path) for path in FILES} == set(FLOORS)


def test_a_climb_would_be_found(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from penalties._training import settling\n")
    assert imported(wrong) == {"_training"}


def test_no_file_is_long():
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 360, path


def test_no_test_file_is_long():
    for path in Path(__file__).parent.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 420, path
