"""The house keeps its rules: who imports whom, one door for each outside library, words, docstrings, no traces of a machine.

The checkers are functions of source text, so that each is tried on a small offending snippet as well as on the house.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "undertow"

MAY_IMPORT = {
    "vocabulary": (),
    "files": ("vocabulary",),
    "data": ("vocabulary", "files"),
    "evaluation": ("vocabulary",),
    "components": ("vocabulary",),
    "models": ("vocabulary", "components"),
    "baselines": (
        *("vocabulary", "components", "models.base", "data.batches"),
        *("evaluation.likelihood", "evaluation.poisson_regression", "evaluation.smoothing"),
    ),
    "training": ("vocabulary", "files", "components", "models.base", "data.batches"),
    "search": (
        *("vocabulary", "training", "models.base", "data.batches"),
        *("components.configuration", "components.corruption", "components.observations"),
    ),
    "analysis": ("vocabulary", "components", "models"),
    "streaming": ("vocabulary", "files", "components", "models"),
    "report": ("vocabulary", "files", "evaluation"),
    "experiments": (
        *("vocabulary", "files", "data", "components", "models", "baselines", "training", "search"),
        *("evaluation", "analysis", "streaming", "report"),
    ),
    "cli": ("experiments", "vocabulary"),
    "__main__": ("cli",),
    "__init__": (),
}
COMPUTING = (
    *("components", "models", "baselines", "training", "search", "analysis", "streaming", "experiments"),
)
DOORS = {
    "jax": COMPUTING,
    "equinox": COMPUTING,
    "optax": ("training",),
    "diffrax": ("components.neural_ode",),
    "safetensors": ("training.checkpoint",),
    "pynwb": ("data.readers.nwb", "data.readers.nwb_imaging", "data.nlb.nwb_writing"),
    "h5py": ("data.readers", "data.nlb.tensor_files"),
    "h5netcdf": ("data.store",),
    "pynapple": ("data.readers.pynapple",),
    "dandi": ("data.nlb.download",),
    "pandas": ("data",),
    "plotly": ("report",),
    "matplotlib": ("report",),
    "jinja2": ("report",),
    "sklearn": ("evaluation",),
    "threadpoolctl": ("evaluation", "experiments"),
    "rich": ("cli", "experiments.progress"),
    "tyro": ("cli",),
    "tomli_w": ("experiments.recipe",),
    "ray": ("search.ray_workers",),
    "onnx": ("streaming.onnx_graph",),
    "onnxruntime": ("streaming.onnx_step",),
    "jax2onnx": (),
    "torch": (),
    "pickle": ("data.readers.restricted_pickle", "data.readers.torch_file"),
}
BANNED_WORDS = {"utils", "util", "misc", "helpers", "helper", "common", "new", "old", "v2"}
SKIPPED_FOLDERS = {"__pycache__", "runs", "build", "dist", "site-packages"}
TEXT = {".py", ".md", ".toml", ".cff", ".css", ".js", ".jinja", ".yml", ".yaml", ".txt", ".cfg", ""}
TRACES = re.compile(
    r"(?<![\w.~$}])/(?:home|root|Users|work|workspace|scratch|mnt|private|data\d*)/[\w.]"
    r"|(?i:c:[\\/]users)"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}:\d+"
    r"|(?i:pypi\.org|python(?:hosted)|anaconda\.org|localhost:\d)"
)


def name_of(path: Path) -> str:
    """The dotted name of a source file below the package: "data.readers.nwb"."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(source: str) -> Iterator[str]:
    """Dotted names of everything that a source imports, inside functions too, and by name through `import_module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            before = "." * node.level + (node.module or "")
            yield from (f"{before}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (part.value for part in node.args[:1] if isinstance(part, ast.Constant))


def lies_in(name: str, places: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of `places` or below one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def wrong_imports(name: str, source: str) -> Iterator[str]:
    """Imports of a module that the tables forbid."""
    room = name.split(".")[0]
    for target in imported(source):
        top, _, inside = target.partition(".")
        if target.startswith("."):
            yield f"{name} imports '{target}' relatively"
        elif top == "undertow" and not lies_in(inside, (room, *MAY_IMPORT[room])):
            yield f"{name} imports undertow.{inside}, but {room} may import {MAY_IMPORT[room] or 'nothing'}"
        elif top in DOORS and not lies_in(name, DOORS[top]):
            yield f"{name} imports {top}, whose door is {DOORS[top] or 'not built yet'}"
        elif is_other_model(name, inside):
            yield f"{name} imports the model undertow.{inside}"


def is_other_model(name: str, target: str) -> bool:
    """Whether a model imports another model."""
    parts = target.split(".")
    is_model = name.startswith("models.") and name != "models.base"
    return (
        is_model and parts[0] == "models" and len(parts) > 1 and parts[1] not in ("base", name.split(".")[1])
    )


def classes_of_models() -> set[str]:
    """Names of the classes in the files of complete models."""
    files = [path for path in (SOURCE / "models").glob("*.py") if path.stem not in ("__init__", "base")]
    return {
        node.name
        for path in files
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


def asks_which_model(name: str, source: str, models: set[str]) -> Iterator[str]:
    """`isinstance(model, LFADS)` and `name == "lfads"` outside models/."""
    if lies_in(name, ("models",)):
        return
    keys = {model.lower() for model in models}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            asked |= {part.attr for part in ast.walk(node.args[1]) if isinstance(part, ast.Attribute)}
            yield from (
                f"{name}:{node.lineno} asks whether something is a {model}" for model in asked & models
            )
        if isinstance(node, ast.Compare):
            words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            yield from (f"{name}:{node.lineno} compares with the model '{key}'" for key in words & keys)


def prints(name: str, source: str) -> Iterator[str]:
    """Calls of print."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield f"{name}:{node.lineno} prints"


def bad_names(name: str) -> Iterator[str]:
    """Words that say nothing, and copies by number."""
    for part in name.split("."):
        if set(part.split("_")) & BANNED_WORDS or re.search(r"_?v\d+$", part):
            yield f"{name}: '{part}' is no name for a module"


def undocumented(name: str, source: str) -> Iterator[str]:
    """The module, and public functions, classes and methods of public classes, that have no docstring."""
    tree = ast.parse(source)
    owners = [
        tree,
        *(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")),
    ]
    members = [node for owner in owners for node in owner.body]
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in members if isinstance(node, definitions) and not node.name.startswith("_")]
    if not ast.get_docstring(tree):
        yield f"{name} opens without a docstring"
    yield from (f"{name}.{node.name} has no docstring" for node in public if not ast.get_docstring(node))


def traces(text: str) -> Iterator[str]:
    """Absolute paths, addresses and package hosts."""
    yield from (match.group() for match in TRACES.finditer(text))


def text_files() -> Iterator[Path]:
    """The repository's text files, without what tools leave behind."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        is_hidden = any(part.startswith(".") and part != ".ci" for part in parts[:-1]) or parts[
            -1
        ].startswith(".")
        is_skipped = is_hidden or any(part in SKIPPED_FOLDERS or part.endswith(".egg-info") for part in parts)
        if not is_skipped and path.is_file() and path.suffix in TEXT:
            yield path


SOURCES = {name_of(path): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}


def test_every_room_is_in_the_table():
    rooms = {name.split(".")[0] for name in SOURCES}
    assert rooms <= set(MAY_IMPORT)
    assert {"data", "components", "models", "training", "evaluation", "report", "experiments", "cli"} <= rooms


@pytest.mark.parametrize("check", [wrong_imports, prints, undocumented])
def test_the_house_keeps(check):
    assert [fault for name, source in SOURCES.items() for fault in check(name, source)] == []


def test_nobody_asks_which_model_it_is():
    models = classes_of_models()
    assert "LFADS" in models
    assert [
        fault for name, source in SOURCES.items() for fault in asks_which_model(name, source, models)
    ] == []


def test_names_say_something():
    assert [fault for name in SOURCES for fault in bad_names(name)] == []


def test_every_folder_opens_with_a_docstring():
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    missing = [folder for folder in folders if not (folder / "__init__.py").is_file()]
    assert missing == []
    assert all(ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) for folder in folders)


def test_no_trace_of_a_machine():
    found = {path: list(traces(path.read_text(encoding="utf-8"))) for path in text_files()}
    assert len(found) > 50
    assert {str(path.relative_to(ROOT)): marks for path, marks in found.items() if marks} == {}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("data.store", "import undertow.components.cells"),
        ("vocabulary", "from undertow.data import store"),
        ("models.base", "def f():\n    from undertow.training import loop"),
        ("training.step", "from undertow.models.lfads import LFADS"),
        ("training.step", "from undertow.data import store"),
        ("evaluation.scores", "import importlib\nimportlib.import_module('undertow.models')"),
        ("cli", "from undertow.training import loop"),
        ("models.gnocchi", "from undertow.models.lfads import LFADS"),
        ("models.lfads", "import optax"),
        ("data.readers.matlab", "from pynwb import NWBHDF5IO"),
        ("data.trials", "import h5py.h5"),
        ("report.page", "import jax.numpy as jnp"),
        ("training.loop", "import pickle"),
        ("search.population", "import ray"),
        ("streaming.stream", "from onnx import helper"),
        ("streaming.export", "import onnxruntime"),
        ("data.store", "from . import trials"),
    ],
)
def test_forbidden_imports_are_found(name, source):
    assert len(list(wrong_imports(name, source))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "training.step",
            "from undertow.models.base import Model\nfrom undertow.data.batches import TrialArrays",
        ),
        ("data.readers.nwb", "import pynwb, numpy"),
        ("models.lfads", "from undertow.models.base import Model\nfrom undertow.components import cells"),
        ("experiments.fitting", "from undertow.models import MODELS"),
    ],
)
def test_allowed_imports_pass(name, source):
    assert list(wrong_imports(name, source)) == []


def test_questions_about_the_model_are_found():
    source = "if isinstance(model, (dict, lfads.LFADS)) or name == 'lfads': pass"
    assert len(list(asks_which_model("training.loop", source, {"LFADS"}))) == 2
    assert list(asks_which_model("models.lfads", source, {"LFADS"})) == []


def test_prints_bad_names_and_missing_docstrings_are_found():
    assert list(prints("x", "def f():\n    print('here')")) == ["x:2 prints"]
    assert list(prints("x", "console.print('here')")) == []
    assert [list(bad_names(name)) != [] for name in ("data.utils", "models.lfads_v2", "data.new_trials")] == [
        True
    ] * 3
    assert list(bad_names("data.recording")) == []
    source = '"""Head."""\nclass A:\n    """A."""\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...'
    assert list(undocumented("x", source)) == ["x.h has no docstring", "x.f has no docstring"]
    assert list(undocumented("x", "a = 1")) == ["x opens without a docstring"]


@pytest.mark.parametrize("path", ["home/someone/a.mat", "work/main", "Users/me/b", "scratch/x"])
def test_traces_are_found(path):
    assert list(traces(f"read '/{path}'"))
    assert not list(traces(f"read 'https://example.com/{path}' or './{path}'"))
