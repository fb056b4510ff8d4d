"""A causal model's one-bin step as a file for ONNX Runtime, with a script beside it that runs it without undertow.

The step takes the state as inputs `state...`, named by their place in the model's state, and gives it as outputs
`next_state...`. Each input of the state has its value at a trial's beginning as its default: a trial begins where no state is
given. Beside the state there are `counts` (neuron), `inputs` (input) where the model knows any, and the estimate: `rates` in Hz,
`factors`, `latents`, `inferred_inputs`, as far as the model has them. Held-out neurons are concealed inside.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from undertow import files
from undertow.models.base import Model, Streaming
from undertow.streaming.bins import BinEstimate, StreamFacts
from undertow.streaming.onnx_opening import Step, bin_by_bin
from undertow.streaming.program import in_hertz
from undertow.vocabulary import UndertowError

PACKAGES = ("onnx", "onnxruntime")
TOLERANCE = 1e-4
TRIED_BINS = 4


class Exported(NamedTuple):
    """Where the step and its script are, and how far ONNX Runtime was from JAX: at worst |a - b| / max(1, |b|) of an entry."""

    path: Path
    script: Path
    difference: float


def write(model: Model, facts: StreamFacts, path: Path) -> Exported:
    """Write the model's one-bin step to `path` and its script beside it (.py), after a trial in ONNX Runtime.

    Raises:
        UndertowError: a path that does not end in .onnx or whose folder is missing, another file in the script's place, a model
            that is not causal or has an operation that the export does not know, packages that are not installed.
    """
    script = _script_beside(path)
    streaming = model.streaming()
    if not isinstance(streaming, Streaming):
        raise UndertowError(f"This model can't be exported one bin at a time: {streaming}.")
    _require_packages()
    step = bin_by_bin(in_hertz(streaming, facts.bin_width), facts)
    with files.replacing(path) as temporary:
        temporary.write_bytes(_content(step, facts, streaming.longest))
        difference = _largest_difference(step, facts, temporary, bins=streaming.opening + TRIED_BINS)
    files.write_bytes(script, _script())
    return Exported(path, script, difference)


def _script_beside(path: Path) -> Path:
    """The script's place, where it and the step may be written."""
    if path.suffix != ".onnx":
        raise UndertowError(f"The step's file is '{path}', but must end in .onnx; name it like 'step.onnx'.")
    if not path.parent.is_dir():
        raise UndertowError(
            f"There is no folder '{path.parent}' to write '{path.name}' into; create it first."
        )
    script = path.with_suffix(".py")
    if script.exists() and script.read_bytes().splitlines()[:1] != _script().splitlines()[:1]:
        raise UndertowError(
            f"'{script}' is no script of an exported step and would be lost; give '{path.name}' another name."
        )
    return script


def _script() -> bytes:
    return Path(__file__).with_name("onnx_step.py").read_bytes()


def _require_packages() -> None:
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise UndertowError(
            f"The export needs {' and '.join(missing)}, not installed here; install with pip install 'undertow[onnx]'."
        )


def _content(step: Step, facts: StreamFacts, longest: int | None) -> bytes:
    """The ONNX file of a step."""
    from undertow.streaming.onnx_graph import Graph, model_content
    from undertow.streaming.onnx_translation import translate

    graph = Graph()
    sizes = (len(facts.neurons), facts.inputs)
    arguments = (step.first, *(np.zeros(size, np.float32) for size in sizes))
    names = [*_state_names(step.first, "state"), "counts", "inputs"]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(arguments)]
    values = [graph.input(leaf.shape, leaf.dtype, name) for name, leaf in zip(names, leaves, strict=True)]
    estimate = jax.eval_shape(step.advance, *arguments)[1]
    results = [*_state_names(step.first, "next_state"), *sorted(estimate)]
    yielded = dict(zip(results, translate(graph, step.advance, arguments, values), strict=True))
    for name in sorted(yielded, key=[*BinEstimate._fields, *results].index):
        graph.output(yielded[name], name)
    defaults = {name: leaf for name, leaf in zip(names[:-2], leaves[:-2], strict=True) if leaf.size}
    told = {"bin_width": repr(facts.bin_width), "neurons": json.dumps(facts.neurons)}
    return model_content(graph, defaults, told if longest is None else {**told, "longest": str(longest)})


def _state_names(state: Any, beginning: str) -> list[str]:
    """A name for each array of a state: the beginning, and its place in it."""
    paths = [
        jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(state)
    ]
    return [f"{beginning}.{path}" if path else beginning for path in paths]


def _largest_difference(step: Step, facts: StreamFacts, path: Path, *, bins: int) -> float:
    """How far ONNX Runtime is from JAX over some bins of random counts, in each of which one neuron is not observed.

    Raises:
        UndertowError: further than the tolerance.
    """
    from undertow.streaming import onnx_step

    random, neurons = np.random.default_rng(0), len(facts.neurons)
    exported, advance, state, worst = onnx_step.Step(path), jax.jit(step.advance), step.first, 0.0
    for number in range(bins):
        counts = random.poisson(1.0, neurons).astype(np.float32)
        counts[number % neurons] = np.nan
        inputs = random.normal(size=facts.inputs).astype(np.float32)
        state, expected = advance(state, counts, inputs)
        found = exported.predict(counts, inputs if inputs.size else None)
        worst = max(worst, *(_difference(found[name], np.asarray(expected[name])) for name in found))
    if not worst < TOLERANCE:
        raise UndertowError(
            f"In ONNX Runtime the step's estimate differs by {worst:.2g} (relative), more than {TOLERANCE:g}, so it was not "
            "written; update onnxruntime, or run the model by fitted.stream()."
        )
    return worst


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if (np.isnan(found) != np.isnan(expected)).any():
        return float("inf")
    return float(np.nanmax(np.abs(found - expected) / np.maximum(np.abs(expected), 1.0), initial=0.0))
