"""What the documentation shows, runs: the README's code blocks and the docstrings' examples."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import penalties

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(penalties.__path__, "penalties.")
    if module.name != "penalties.keras" and not module.name.startswith("penalties.keras.")
]
MODULES += ["penalties.keras"] + [
    f"penalties.keras.{path.stem}"
    for path in sorted((Path(penalties.__file__).parent / "keras").glob("*.py"))
    if path.stem != "__init__"
]


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


# Field markers and what functions return; the examples are with those.
WITHOUT_EXAMPLE = {
    "Average",
    "Optimality",
    "PenalizedState",
    "PenaltyState",
    "Strength",
    "parameter",
    "static",
}


def test_every_public_name_has_an_example():
    for name in penalties.__all__:
        public = getattr(penalties, name)
        if callable(public) and name not in WITHOUT_EXAMPLE:
            assert ">>>" in (public.__doc__ or ""), name


@pytest.mark.parametrize("code", blocks("python"))
def test_each_block_of_the_readme_runs_by_itself(code):
    if "KERAS_BACKEND" in code:  # which is read once in a process
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
        )
        assert run.returncode == 0, run.stderr
    else:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            exec(code, {"__name__": "readme"})


GUIDES = sorted((Path(__file__).parent.parent / "docs" / "guides").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=[guide.stem for guide in GUIDES])
def test_each_block_of_a_guide_runs_by_itself(guide):
    for code in blocks("python", guide.read_text(encoding="utf-8")):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            exec(code, {"__name__": guide.stem})


def test_the_blocks_of_the_readme_run_one_after_the_other():
    code = "\n".join(block for block in blocks("python") if "KERAS_BACKEND" not in block)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(code, {"__name__": "readme"})


def test_readme_has_two_set_up_commands_and_short_blocks():
    assert len(blocks("bash")[0].strip().splitlines()) == 2
    assert all(len(block.strip().splitlines()) <= 10 for block in blocks("python")[:3])


def test_changelog_names_this_version():
    changelog = (Path(__file__).parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{penalties.__version__}]" in changelog
