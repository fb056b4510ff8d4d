"""Write docs/reference/ from the software itself: recipe.md, command-line.md and python.md.

    python docs/make_reference.py

tests/test_docs.py fails when a page is not what this script would write. The pages say nothing that the code does not: keys,
defaults and limits come from the configurations' fields, options from the commands' signatures, sentences from docstrings.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import undertow as ut
from undertow import cli
from undertow.baselines import BASELINES
from undertow.cli import options
from undertow.components.configuration import Configuration
from undertow.components.observations import OBSERVATIONS
from undertow.experiments.recipe import SECTIONS
from undertow.models import MODELS
from undertow.models.base import Range
from undertow.search.settings import Search

FOLDER = Path(__file__).parent / "reference"
LONG_SIGNATURE = 90
RECIPE_OPENING = """\
A recipe is a TOML file that tells a run everything. It needs to hold only what differs from the defaults below; the run's own
`recipe.toml` holds all of it, and repeats the run. On the command line each key is a setting:
`--set lfads.factors=30 training.epochs=300`. An unknown key is an error that names the closest known one.
[How to fit](../howto/fit.md) says which to try first.

```toml
model = "lfads"  # which model; its section has the same name
seed = 0         # of everything random
```"""
COMMAND_OPENING = """\
`undertow COMMAND --help` says the same, in short. Every command exits with 0; with 1 and one sentence that says what was wrong
and what to do (`--debug` adds where it came from); or with 2 for wrong usage. `undertow --version` names the version."""
PYTHON_OPENING = """\
`import undertow as ut` costs nothing: each name is loaded when it is first used. Every error that is about you or your data is an
`ut.UndertowError` of one sentence."""
SPELLED = {"settings": "--set", "as_json": "--json", "source": "--from", "beside": "--with"}
LISTED = {int: "whole numbers", float: "numbers", str: "texts"}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}

MEANINGS = {  # of keys and options that do not say it themselves
    "autoencoder.initial_condition_prior": "Prior of the initial condition (variational=true)",
    "autoencoder.observation": "How counts scatter around the rates",
    "demo.out": "The run's folder.",
    "gnocchi.denoiser": "Network that tells activity from noise: a U-Net over the bins, or attention across them",
    "gnocchi.encoder": "Network that reads a trial's code: a stack of convolutions, or recurrent in both directions",
    "gnocchi.sampler": "Rule of the steps from noise to activity; may be changed after the fit",
    "gnocchi.schedule": "How noise is spread over the levels",
    "lfads.initial_condition_prior": "Prior of the initial condition",
    "lfads.input_prior": "Prior of the inferred inputs",
    "lfads.observation": "How counts scatter around the rates",
    "lfads.known_inputs_to": "Who receives the known inputs, where the trials have any",
    "ndt.embedding": "How a bin's counts become a token: a linear map, the counts themselves, or a vector for each count",
    "ndt.norm": "Tokens are normalised before attention and network, or after each is added",
    "ndt.observation": "How counts scatter around the rates",
    "ndt.positions": "How a bin knows its place; rotary and relative positions know distances alone, so that trials may be "
    "longer than in training",
    "optimiser.learning_rate": "The step of AdamW before any schedule",
    "optimiser.weight_decay": "Decoupled decay of kernels; biases and initial states are spared",
    "optimiser.beta1": "Memory of Adam's mean gradient",
    "optimiser.beta2": "Memory of Adam's mean squared gradient",
    "optimiser.epsilon": "Added to the root of Adam's mean squared gradient",
    "optimiser.schedule": "How the learning rate falls: never, when the selection score stalls, or along half a cosine",
    "optimiser.smallest_learning_rate": "No schedule goes below it",
}

PYTHON_SECTIONS = {
    "Trials": ("load", "trials", "trials_from_spike_times", "simulate", "describe"),
    "Who trains, what is hidden": ("split", "hold_out", "subsample", "select"),
    "Long recordings": ("chop", "merge"),
    "Many sessions": ("load_sessions", "sessions", "open_sessions"),
    "On disk": ("save", "open_trials", "open_estimate"),
    "Models and recipes": (
        "LFADS",
        "NDT",
        "Autoencoder",
        "Gnocchi",
        "Recipe",
        "Training",
        "Optimiser",
        "Objective",
        "Corruption",
        "Inference",
        "Start",
    ),
    "Baselines": ("Smoothing", "GPFA", "SLDS", "PSTH", "PCA"),
    "Fits": ("fit", "adapt", "open", "import_lfads_torch", "write_report", "export"),
    "Looking inside": ("analyze",),
    "Searches": ("search", "Search", "Range"),
    "The number of latents": ("latent_dimensions",),
    "Scores": ("evaluate", "yardstick"),
    "Errors": ("UndertowError",),
}
FURTHER = {  # what the public names return or need, by where it lives
    "undertow.experiments.fitted": (
        *("Fitted", "Fitted.infer", "Fitted.stream", "Fitted.decoder"),
        *(
            "Fitted.encode",
            "Fitted.reconstruct",
            "Fitted.sample",
            "Fitted.traverse",
            "Fitted.interpolate",
            "Fitted.generate",
        ),
    ),
    "undertow.experiments.generating": ("sample", "reconstruct", "traverse", "interpolate", "generate"),
    "undertow.experiments.fitted_sessions": ("FittedSessions", "FittedSessions.at", "FittedSessions.infer"),
    "undertow.experiments.dimensions": ("Dimensions",),
    "undertow.streaming.stream": (
        "Stream",
        "Stream.reset",
        "Stream.predict",
        "Stream.observe",
        "Stream.skip",
        "Stream.on_done",
    ),
    "undertow.streaming.bins": ("BinEstimate",),
    "undertow.streaming.decoder": ("LinearDecoder",),
    "undertow.streaming.export": ("Exported",),
    "undertow.experiments.analysing": ("Analysis",),
    "undertow.components.masking": ("Masking", "Masking.draw", "Mask"),
    "undertow.experiments.progress": ("Listener",),
    "undertow.data.readers.pynapple": ("to_tsdframe",),
    "undertow.data.nlb.prepare": ("prepare", "target"),
    "undertow.data.nlb.generate": ("generate",),
    "undertow.evaluation.nlb": ("score",),
    "undertow.report.figures": ("rates_figure", "factors_figure"),
}


def main() -> None:
    """Write the three pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


def recipe_page() -> str:
    """Every key of every section, with its default and meaning."""
    sections = {
        config.section: config
        for config in (*MODELS.values(), *SECTIONS.values(), Search, *BASELINES.values())
    }
    parts = [section_of_recipe(name, config) for name, config in sections.items()]
    return _page(
        "Recipes",
        RECIPE_OPENING,
        parts,
    )


def section_of_recipe(name: str, config: type[Configuration]) -> str:
    """One section as a table, and for a model the names of its weighed terms."""
    rows = [_row_of_field(name, key, field) for key, field in config.model_fields.items()]
    table = _table(("key", "default", "values", "meaning"), rows)
    weights = getattr(config, "weights", {})
    note = ""
    if isinstance(weights, dict) and getattr(config, "space", {}):
        listed = ", ".join(f"`{term}` ({_toml(value)})" for term, value in weights.items()) or "none"
        note = f"\nTerms that `[objective.weights]` may weigh, with their defaults: {listed}{_observed_weights()}.\n"
    space = getattr(config, "space", {})
    if isinstance(space, dict) and space:
        note += "\nWhat [a search](../howto/tune.md) moves unless it is told otherwise:\n\n" + _space(space)
    return f"## [{name}]\n\n{inspect.getdoc(config).splitlines()[0]}\n\n{table}{note}"


def _observed_weights() -> str:
    """The terms that observations bring, each with the observation that has it."""
    return "".join(
        f"; where counts are `{kind}` also `{term}` ({_toml(value)})"
        for kind, make in OBSERVATIONS.items()
        for term, value in make(1).weights.items()
    )


def _space(space: Mapping[str, Range]) -> str:
    """A model's own space as a table."""
    rows = [
        (
            f"`{key}`",
            f"{_number(where.low)} to {_number(where.high)}" + (" x entries" if where.unit == "mean" else ""),
            "drawn" if where.start == "drawn" else _number(where.start),
            where.prior.replace("_", "-"),
            _number(where.step),
            "yes" if where.is_bounded else "only at the start",
        )
        for key, where in space.items()
    ]
    note = (
        "\nA range `x entries` is published for the mean over entries: it is multiplied by the mean number of observed entries "
        "of a trial, which gives it in units of the evidence lower bound.\n"
        if any(where.unit == "mean" for where in space.values())
        else ""
    )
    return _table(("key", "range", "starts at", "prior", "step", "bounded"), rows) + note


def meaning(section: str, key: str, field: Any) -> str:
    """What a key is for."""
    return field.description or MEANINGS.get(f"{section}.{key}", "")


def _row_of_field(section: str, key: str, field: Any) -> tuple[str, ...]:
    default = field.get_default(call_default_factory=True)
    limits = [f"{words} {getattr(part, name):g}" for part in field.metadata for name, words in _limits(part)]
    values = " ".join([_type(field.annotation), ", ".join(limits)]).strip()
    return f"`{key}`", f"`{_toml(default)}`", values, meaning(section, key, field)


def _limits(part: Any) -> list[tuple[str, str]]:
    return [(name, words) for name, words in LIMITS.items() if getattr(part, name, None) is not None]


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {LISTED.get(arguments[0]) or _type(arguments[0])}"
    if origin is typing.Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin is dict:
        return "table of numbers" if arguments[1] is float else "table of ranges and lists"
    return {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}[annotation]


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else _number(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return re.sub(r"e([+-])0*", r"e\1", f"{value:g}")
    return f'"{value}"' if isinstance(value, str) else str(value)


def command_page() -> str:
    """Every command with its example, arguments and options."""
    shared = [_group(group, _fields(group)) for group in GROUPS.values()]
    return _page(
        "The command line",
        COMMAND_OPENING,
        [*(command_section(name, command) for name, command in cli.COMMANDS.items()), *shared],
    )


def command_section(name: str, command: Callable) -> str:
    """One command: what it does, an example, its arguments and options."""
    documentation = inspect.getdoc(command)
    head, _, after = documentation.partition("\n\nExample: ")
    example = after.splitlines()[0]
    told = dict(re.findall(r"^\s{4}(\w+): (.*)$", documentation, re.MULTILINE))
    rows, groups = [], []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in GROUPS:
            groups.append(f"[{_title(GROUPS[parameter.name])}](#{_anchor(_title(GROUPS[parameter.name]))})")
        else:
            rows.append(
                _row_of_parameter(
                    parameter, told.get(parameter.name, MEANINGS.get(f"{name}.{parameter.name}", ""))
                )
            )
    table = _table(("argument", "meaning", "default"), rows) + "\n" if rows else ""
    return f"## undertow {name}\n\n{head}\n\n```bash\n{example}\n```\n\n{table}Also: {', '.join(groups)}.\n"


def _row_of_parameter(parameter: inspect.Parameter, sentence: str) -> tuple[str, ...]:
    is_positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    spelled = SPELLED.get(parameter.name, f"--{parameter.name.replace('_', '-')}")
    shown = parameter.name.upper() if is_positional else spelled
    default = "required" if parameter.default is inspect.Parameter.empty else _default(parameter.default)
    if parameter.default is True:
        default = f"on; `{spelled.replace('--', '--no-', 1)}` for off"
    return f"`{shown}`", sentence, default


def _group(group: type, sentences: Mapping[str, str]) -> str:
    rows = [
        (
            f"`{OPTIONS_IN_GROUPS.get(field.name, '--' + field.name.replace('_', '-'))}`",
            sentences[field.name],
            _default(field.default),
        )
        for field in dataclasses.fields(group)
    ]
    return f"## {_title(group)}\n\n{inspect.getdoc(group)}\n\n" + _table(
        ("option", "meaning", "default"), rows
    )


def _title(group: type) -> str:
    return {
        options.Begin: "Options that begin with a fitted run",
        options.How: "Options of a search",
        options.Walk: "Options of a walk",
        options.Cut: "Options that cut a source into trials",
        options.Common: "Options of every command",
    }[group]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _default(value: Any) -> str:
    return "" if value in (None, ()) else "off" if value is False else f"`{value}`"


def _fields(group: type) -> dict[str, str]:
    """The sentence below each field of a dataclass in its source."""
    body = ast.parse(inspect.getsource(group)).body[0].body
    pairs = pairwise(body)
    return {
        field.target.id: sentence.value.value
        for field, sentence in pairs
        if isinstance(field, ast.AnnAssign) and isinstance(sentence, ast.Expr)
    }


def python_page() -> str:
    """Every public name with its signature and docstring."""
    parts = []
    for title, names in PYTHON_SECTIONS.items():
        entries = [python_entry(f"ut.{name}", ut.public(name)) for name in names]
        parts.append(f"## {title}\n\n" + "\n".join(entries))
    further = [
        python_entry(f"{home}.{name}", attrgetter(name)(import_module(home)))
        for home, names in FURTHER.items()
        for name in names
    ]
    parts.append("## What the names above return, need, or leave to their own rooms\n\n" + "\n".join(further))
    return _page(
        "Python",
        PYTHON_OPENING,
        parts,
    )


def python_entry(name: str, thing: Any) -> str:
    """One public name: its signature and what its docstring says."""
    if isinstance(thing, types.ModuleType):
        tables = "\n".join(
            f"{name}.SYSTEMS[{key!r}]{_signature(value)}" for key, value in thing.SYSTEMS.items()
        )
        return f"### {name}\n\n{inspect.getdoc(thing).splitlines()[0]}\n\n```python\n{tables}\n```\n"
    if isinstance(thing, type) and issubclass(thing, Configuration):
        return (
            f"### {name}\n\n{inspect.getdoc(thing)} Keys: [`[{thing.section}]`](recipe.md#{thing.section}).\n"
        )
    if isinstance(thing, type):
        return f"### {name}\n\n```text\n{inspect.getdoc(thing)}\n```\n"
    signature = f"{name.rpartition('.')[2]}{_signature(thing)}"
    return f"### {name}\n\n```python\n{signature}\n```\n\n```text\n{inspect.getdoc(thing)}\n```\n"


def _signature(function: Callable) -> str:
    """The signature without quotes around annotations, module names and defaults that are functions; in lines if it is long."""
    text = re.sub(r"(: |-> )'((?:[^'\\]|\\.)*)'", r"\1\2", str(inspect.signature(function)))
    text = re.sub(r"<function <lambda> at \w+>", "...", text)
    text = re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", text)
    if len(text) < LONG_SIGNATURE:
        return text
    inside, _, returns = text[1:].rpartition(") -> ")
    return "(\n    " + ",\n    ".join(_split_outside_brackets(inside)) + f",\n) -> {returns}"


def _split_outside_brackets(text: str) -> list[str]:
    depth, parts = 0, [""]
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _page(title: str, opening: str, parts: Iterable[str]) -> str:
    mark = "<!-- Written by docs/make_reference.py: run it again instead of editing. -->"
    return "\n\n".join([mark, f"# {title}", opening, *(part.strip() for part in parts)]) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


OPTIONS_IN_GROUPS = {"run": "--from"}
GROUPS = {
    "begin": options.Begin,
    "how": options.How,
    "walk": options.Walk,
    "cut": options.Cut,
    "common": options.Common,
}
PAGES = {"recipe.md": recipe_page, "command-line.md": command_page, "python.md": python_page}


if __name__ == "__main__":
    main()
