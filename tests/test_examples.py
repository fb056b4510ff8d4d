"""The examples run: the two quickest from beginning to end, in a folder of their own; all of them open as they should."""

import ast
import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def loaded(name: str):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_says_how_to_run_it(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert f"python examples/{path.name}" in ast.get_docstring(tree)
    assert any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def test_causal_rates_do_not_know_the_future():
    change = loaded("causal_rates").main(epochs=2)
    assert change["before"] == 0
    assert change["after"] > 0


def test_a_long_recording_comes_back_in_one_piece(tmp_path):
    example = loaded("long_recording")
    estimate = example.main(epochs=2)
    truth = example.continuous_recording(seconds=80.0)
    assert estimate.rates.shape == truth.counts.shape
    assert estimate.rates.notnull().all()
    assert list(tmp_path.iterdir()) == []
