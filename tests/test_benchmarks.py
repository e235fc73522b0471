"""The results of benchmarks are saved, and compared with saved ones."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
import pytest


@pytest.fixture
def benchmarks(monkeypatch):
    """The package, which is not installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    monkeypatch.setenv("COLUMNS", "120")
    from benchmarks import compare, results, timing

    yield compare, results, timing
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)


def compared(compare, monkeypatch, capsys, *paths):
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, paths)])
    compare.main()
    return capsys.readouterr().out


def test_what_was_measured_is_saved_and_compared(benchmarks, tmp_path, monkeypatch, capsys):
    compare, results, timing = benchmarks
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    rows = timing.show(
        "a step", [timing.Ratio("ours [0]", "adam", 0.002, 0.001), timing.Ratio("old", "adam", 1, 1)]
    )
    results.save(before, rows)
    on, loaded = results.load(before)
    assert loaded == rows
    assert on["jax"] == jax.__version__
    assert {"device", "cpu", "python", "commit", "penalties", "optax"} <= set(on)

    slower = dataclasses.replace(rows[0], numbers={"ours, s": 0.003, "peer, s": 0.001, "ratio": 3.0})
    results.save(after, [slower, results.Row("a step", "new", {"ratio": 1.0})])
    capsys.readouterr()
    shown = compared(compare, monkeypatch, capsys, before, after)
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.splitlines()]
    assert ["", "ours [0] against adam", "ours, s", "0.002", "0.003", "1.50", ""] in cells
    assert ["", "", "ratio", "2", "3", "1.50", ""] in cells
    assert ["", "old against adam", "", "", "not measured", "", ""] in cells
    assert ["", "a step: new", "", "not measured", "", "", ""] in cells


def test_what_differs_between_the_machines_is_said(benchmarks, tmp_path, monkeypatch, capsys):
    compare, results, _ = benchmarks
    paths = tmp_path / "one.json", tmp_path / "other.json"
    for path, version in zip(paths, ("0.8.0", "0.9.0"), strict=True):
        monkeypatch.setattr(results, "machine", lambda version=version: {"jax": version, "python": "3.11"})
        results.save(path, [])
    shown = compared(compare, monkeypatch, capsys, *paths)
    assert "jax: 0.8.0 → 0.9.0" in shown
    assert "python: 3.11\n" in shown


def test_another_file_is_refused(benchmarks, tmp_path, monkeypatch, capsys):
    compare, _, _ = benchmarks
    path = tmp_path / "other.json"
    path.write_text('{"rows": 3}')
    with pytest.raises(SystemExit):
        compared(compare, monkeypatch, capsys, path, path)
    assert "other.json was not written by `--save` of a benchmark" in capsys.readouterr().err


def test_pruners_are_chosen_by_validation_and_shown_by_the_test_split(benchmarks):
    from benchmarks.smaller import task

    def train(at, size, setting, target, seed):
        def logits(x):  # at rate 1 right where x is 0, as in validation; at rate 2 where it is 1
            right = (x[:, :1] == setting.rate - 1) & (setting.own == "good")
            return np.where(right, [[1.0, 0.0]], [[0.0, 1.0]])

        return task.Trained(logits, logits, logits, 3, 7, 0.5)

    zeros, labels = np.zeros((4, 1)), np.zeros(4, int)
    at = task.Problem("MLP", *(task.Data(zeros + one, labels) for one in (0, 0, 1)))
    side = task.Side(train, ("bad", "good"), np.asarray, (0.5,))
    numbers = task.tuned_and_tested(side, at, task.Size(1, 1, (0,), (1, 2), (1, 2), None))["0.5"]
    assert (numbers["rate"], numbers["own"], numbers["test, %"], numbers["units"]) == (1, 1, 0.0, 3)


def test_the_comparison_of_pruners_says_what_it_lacks(benchmarks, monkeypatch, capsys):
    from benchmarks.smaller import __main__ as smaller

    monkeypatch.setattr(smaller, "has", lambda python, package: package == "torch_pruning")
    monkeypatch.setattr(smaller, "network", lambda name, methods, python, quick: [])
    monkeypatch.setattr(sys, "argv", ["smaller", "MLP", "--torch", "python3"])
    smaller.main()
    shown = " ".join(capsys.readouterr().out.split())
    assert "python3 lacks what these need, they are left out: torch, dense; Torch-Pruning" in shown


SUITE = """
import json, sys
rows = [{"table": "a", "what": "ours against theirs", "numbers": {"ratio": 0.5}}]
open(sys.argv[-1], "w").write(json.dumps({"on": {}, "rows": rows}))
print("a table", sys.argv[1])
"""


def test_all_suites_run_and_one_that_fails_is_told(benchmarks, tmp_path, monkeypatch, capsys):
    from benchmarks import everything

    (tmp_path / "suite.py").write_text(SUITE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    suites = {"good": ("suite", ["--quick"]), "bad": ("no_such_suite", [])}
    monkeypatch.setattr(everything, "SUITES", suites)
    monkeypatch.setattr(sys, "argv", ["everything", str(tmp_path / "out"), "--quick"])
    with pytest.raises(SystemExit) as ended:
        everything.main()
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "a table --quick" in shown
    assert "bad failed" in shown
    assert (tmp_path / "out" / "ratios.png").stat().st_size > 1000
