"""What the documentation shows, runs: the README's code blocks and the docstrings' examples."""

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest

import penalties
import penalties.keras
from penalties import functional, plot

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def text_of(path):
    return path.read_text(encoding="utf-8")


README = text_of(ROOT / "README.md")
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


@contextlib.contextmanager
def lenient_promotion():
    """As for users, who are not as strict as the tests."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    with lenient_promotion():
        result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


# Field markers and what functions return; the examples are with those.
WITHOUT_EXAMPLE = {
    "Average",
    "CrossValidation",
    "Factorization",
    "Factors",
    "Optimality",
    "Path",
    "PathPoint",
    "PenalizedState",
    "PenaltyState",
    "Solution",
    "StabilitySelection",
    "SparsityState",
    "Strength",
    "TargetReport",
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
        with lenient_promotion():
            exec(code, {"__name__": "readme"})


PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
}
TUTORIALS = ["getting_started"]  # read from top to bottom
GUIDES = [name for name, page in PAGES.items() if blocks("python", text_of(page)) and name not in TUTORIALS]


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_each_block_of_a_page_runs_by_itself(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what it writes
    for code in blocks("python", text_of(PAGES[name])):
        with lenient_promotion():
            exec(code, {"__name__": name})


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_from_top_to_bottom_and_prints_what_it_shows(name):
    names, printed, compared = {"__name__": name}, "", 0
    for language, block in blocks("(python|text)", text_of(PAGES[name])):
        if language == "text":
            assert printed.strip() == block.strip()
            compared += 1
            continue
        output = io.StringIO()
        with lenient_promotion(), contextlib.redirect_stdout(output):
            exec(block, names)
        printed = output.getvalue()
    assert compared


def test_every_public_name_has_an_entry_in_the_api_reference():
    entries = [
        (module, line.partition(":")[0])
        for page in PAGES.values()
        for module, lines in blocks(r"\{public\} (\S+)", text_of(page))
        for line in lines.splitlines()
    ]
    assert len(entries) == len(set(entries))
    functions = {name for name, _ in inspect.getmembers(functional, inspect.isfunction)}
    public = {
        "penalties": penalties.__all__,
        "penalties.functional": functions - set(penalties.__all__),
        "penalties.keras": penalties.keras.__all__,
        "penalties.plot": plot.__all__,
    }
    assert {(module, name) for module, names in public.items() for name in names} == set(entries)


def test_the_blocks_of_the_readme_run_one_after_the_other():
    code = "\n".join(block for block in blocks("python") if "KERAS_BACKEND" not in block)
    with lenient_promotion():
        exec(code, {"__name__": "readme"})


def test_readme_has_two_set_up_commands_and_short_blocks():
    assert len(blocks("bash")[0].strip().splitlines()) == 2
    assert all(len(block.strip().splitlines()) <= 10 for block in blocks("python")[:3])


def test_changelog_and_citation_name_this_version():
    changelog = text_of(ROOT / "CHANGELOG.md")
    assert "## [Unreleased]" in changelog
    assert f"## [{penalties.__version__}]" in changelog
    assert f"\nversion: {penalties.__version__}\n" in text_of(ROOT / "CITATION.cff")


def test_pre_commit_runs_what_ci_runs():
    entries = re.findall(r"entry: ((?:\w+ \w+)(?: tests/\S+)?)", text_of(ROOT / ".pre-commit-config.yaml"))
    assert entries == ["ruff check", "ruff format", "pyright penalties tests/test_typed_use.py"]
    assert all(f"\n{entry}" in text_of(ROOT / ".ci" / "run") for entry in entries)


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def test_links_between_files_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES.values()]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", without_code(text_of(page))):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_package_index_is_shown_no_relative_link():
    hook = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["hatch"]["metadata"]["hooks"]
    shown = README
    for rule in hook["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(rule["pattern"], rule["replacement"], shown)
    links = re.compile(r"\]\((?!https?://)")
    assert links.search(without_code(README))
    assert not links.search(without_code(shown))
    assert "149 of 160 features are made up" in shown
