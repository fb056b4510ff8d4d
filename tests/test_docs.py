"""The documents say what the software does: links lead somewhere, commands and keys exist, generated pages are current."""

import ast
import importlib.util
import inspect
import math
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import undertow as ut
from undertow import cli
from undertow.cli import options
from undertow.experiments import recipe
from undertow.experiments.space_settings import with_space
from undertow.models import MODELS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
each_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [code for found, code in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """The calls of undertow in a page's shell blocks, as words."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    calls = [part.split("#")[0].split() for line in lines for part in line.split("&&")]
    return [words[1:] for words in calls if words[:1] == ["undertow"]]


@pytest.fixture(scope="module")
def reference():
    """docs/make_reference.py as a module."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_page
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if path.startswith(("https:", "http:")):
            continue
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {index} <= linked


@pytest.mark.parametrize("name", ["recipe.md", "command-line.md", "python.md"])
def test_the_reference_is_what_the_script_writes(reference, name):
    stored = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert stored == reference.PAGES[name](), "run: python docs/make_reference.py"


def test_every_key_has_a_meaning(reference):
    sections = {config.section: config for config in (*reference.MODELS.values(), *recipe.SECTIONS.values())}
    for name, config in sections.items():
        assert all(reference.meaning(name, key, field) for key, field in config.model_fields.items())
    keys = {f"{name}.{key}" for name, config in sections.items() for key in config.model_fields}
    assert {key for key in reference.MEANINGS if key.partition(".")[0] in sections} <= keys


def test_every_public_name_is_in_the_reference(reference):
    listed = [name for names in reference.PYTHON_SECTIONS.values() for name in names]
    assert sorted(listed) == ut.__all__


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_options_of_the_reference_are_those_of_the_help(name, capsys, reference):
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), "--help"])
    shown = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}
    page = reference.command_section(name, cli.COMMANDS[name])
    shared = [
        reference._group(group, reference._fields(group))
        for group in (options.Begin, options.How, options.Walk, options.Cut, options.Common)
    ]
    written = set(re.findall(r"`(--[a-z-]+)`", page + "".join(shared)))
    assert ended.value.code == 0
    assert {option for option in shown if not option.startswith("--no-")} - example_options(page) <= written
    assert set(re.findall(r"^\| `(--[a-z-]+)`", page, re.MULTILINE)) <= shown


def example_options(page: str) -> set[str]:
    """Options in the example, which the help repeats."""
    return set(re.findall(r"--[a-z-]+", FENCE.search(page).group(2)))


@each_page
def test_commands_in_documents_exist(page, reference):
    groups = (options.Begin, options.How, options.Walk, options.Cut, options.Common)
    fields = [field for group in groups for field in group.__annotations__]
    common = {reference.OPTIONS_IN_GROUPS.get(field, field.replace("_", "-")).strip("-") for field in fields}
    for first, *words in commands(page):
        name = f"nlb {words[0]}" if first == "nlb" else first
        assert name in cli.COMMANDS, name
        own = {"settings": "set", "as_json": "json", "source": "from", "beside": "with"}
        taken = {
            own.get(key, key.replace("_", "-")) for key in inspect.signature(cli.COMMANDS[name]).parameters
        }
        asked = {word.removeprefix("--") for word in words if word.startswith("--")}
        assert asked <= taken | common, (name, asked - taken - common)


@each_page
def test_settings_in_documents_are_accepted(page):
    text = page.read_text(encoding="utf-8")
    settings = re.findall(
        r"\b((?:lfads|ndt|training|optimiser|objective|corruption|inference)(?:\.\w+)+=[\w.:,+-]+)", text
    )
    spaces = {setting for setting in settings if re.search(r"=.*[:,]|=fixed$", setting)}
    model = {True: ut.NDT, False: ut.LFADS}["ndt." in text]
    space = with_space({}, spaces, model)
    assert set(space["space"]) | set(space["hold"]) == {setting.partition("=")[0] for setting in spaces}
    settings = [setting.rstrip(".,:") for setting in settings if setting not in spaces]
    for setting in settings:
        section = setting.partition(".")[0]
        own = section if section in MODELS else "lfads"
        recipe.from_document(recipe.with_settings({"model": own}, [setting]))
    for key in re.findall(r"`((?:lfads|ndt|training|optimiser|corruption|inference)\.\w+)`", text):
        section, _, name = key.partition(".")
        known = {**MODELS, **recipe.SECTIONS}[section]
        assert name in known.model_fields, key


@each_page
def test_python_in_documents_fits_the_signatures(page):
    for block in blocks(page, "python"):
        if "reference" in page.parts:
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("ut."):
                check_call(node)


def check_call(node: ast.Call) -> None:
    """The function exists and takes these keywords."""
    name = ast.unparse(node.func).removeprefix("ut.")
    assert name in ut.__all__, name
    parameters = inspect.signature(ut.public(name)).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    known = {parameter.name for parameter in parameters}
    assert takes_any or {keyword.arg for keyword in node.keywords} <= known, ast.unparse(node)


def test_recipes_are_accepted_and_named():
    how_to_fit = (ROOT / "docs" / "howto" / "fit.md").read_text(encoding="utf-8")
    how_to_benchmark = (ROOT / "docs" / "howto" / "benchmark.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "recipes").rglob("*.toml")):
        name = path.relative_to(ROOT / "recipes").with_suffix("").as_posix()
        assert f"`{name}`" in how_to_fit + how_to_benchmark
        assert recipe.from_document(tomllib.loads(path.read_text())).document()["model"] in MODELS


def test_ci_runs_the_command_of_the_readme():
    lines = [
        line
        for block in blocks(ROOT / "README.md", "bash")
        for line in block.splitlines()
        if "pytest" in line
    ]
    shown = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "--show"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"{lines[0]}\n"
    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && . .venv/bin/activate && pip install '.[test]'")


def test_the_prior_of_the_how_to_is_a_divergence():
    """The Laplace prior that a modeller is shown, against the integral of q log(q/p)."""
    block = blocks(ROOT / "docs" / "howto" / "change-one-part.md", "python")[0]
    room = vars(importlib.import_module("undertow.components.priors")).copy()
    exec(block, room)
    mean, deviation, scale = 0.7, 0.4, 1.5
    draws = np.random.default_rng(0).normal(mean, deviation, (40_000, 1)).astype(np.float32)
    prior = room["LaplacePrior"](np.full(1, math.log(scale), np.float32))
    sampled = np.mean(prior.divergence(np.full_like(draws, mean), np.full_like(draws, deviation**2), draws))
    posterior, laplace = stats.norm(mean, deviation), stats.laplace(scale=scale)
    integrand = lambda x: posterior.pdf(x) * (posterior.logpdf(x) - laplace.logpdf(x))  # noqa: E731
    exact = integrate.quad(integrand, mean - 8 * deviation, mean + 8 * deviation)[0]
    assert sampled == pytest.approx(exact, abs=0.02)


def test_no_public_name_is_hidden_by_a_room():
    """A subpackage, once imported, is an attribute of the package and would take the place of a function of that name."""
    rooms = {path.stem for path in (ROOT / "src" / "undertow").iterdir()}
    assert rooms & set(ut.__all__) == {"search"}, "a room that has a function's name must be callable as it"
    assert callable(importlib.import_module("undertow.search"))
