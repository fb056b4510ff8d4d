"""A function of JAX as a graph of ONNX: traced once, then equation by equation.

What does not depend on the function's arguments is computed while translating, so that normalised weights, tables and masks stand
in the file as numbers. Functions that are called (`jit`, custom derivatives, custom batching) are written out in their place; a
`scan` becomes a Scan, a `cond` an If.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from undertow.streaming.onnx_elementwise import ELEMENTWISE, Translation
from undertow.streaming.onnx_graph import Graph, Value
from undertow.streaming.onnx_indexing import INDEXING
from undertow.streaming.onnx_operations import OPERATIONS
from undertow.vocabulary import UndertowError

CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")
"""The parameters under which an equation keeps the function that it calls."""


def translate(graph: Graph, function: Callable, arguments: Sequence[Any], values: list[Value]) -> list[Value]:
    """What `function` yields (its leaves in their order) for `values`, which stand for the leaves of `arguments`.

    Raises:
        UndertowError: the function uses an operation that is not in the tables; it is named.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    return _written_out(graph, closed, values)


def _written_out(graph: Graph, called: ClosedJaxpr | Jaxpr, values: Sequence[Value]) -> list[Value]:
    """The results of a traced function, its equations put into the graph."""
    if isinstance(called, ClosedJaxpr):
        values = [*(graph.known(constant) for constant in called.consts), *values]
        called = called.jaxpr
    held = dict(zip((*called.constvars, *called.invars), values, strict=True))

    def value_of(atom: Any) -> Value:
        return graph.known(np.asarray(atom.val, atom.aval.dtype)) if isinstance(atom, Literal) else held[atom]

    for equation in called.eqns:
        results = _equation(graph, equation, [value_of(atom) for atom in equation.invars])
        held.update(zip(equation.outvars, results, strict=True))
    return [graph.full(value_of(atom), atom.aval.shape) for atom in called.outvars]


def _equation(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    name = equation.primitive.name
    called = next((equation.params[key] for key in CALLED if key in equation.params), None)
    if called is not None and name not in CONTROL:
        return _written_out(graph, called, values)
    if all(value.is_known for value in values):
        return _computed(graph, equation, values)
    if all(0 in variable.aval.shape for variable in equation.outvars):
        return [graph.known(np.zeros(shape, dtype)) for shape, dtype in _like(equation)]
    if name not in TABLE:
        raise UndertowError(
            f"The model's step uses JAX's operation '{name}', which the export to ONNX does not know; run it by fitted.stream() "
            "instead."
        )
    if name not in ELEMENTWISE:
        values = [
            graph.full(value, atom.aval.shape) for value, atom in zip(values, equation.invars, strict=True)
        ]
    results = TABLE[name](graph, equation, values)
    return results if isinstance(results, list) else [results]


def _computed(graph: Graph, equation: Any, values: Sequence[Value]) -> list[Value]:
    """The results of an equation whose arguments are known."""
    results = equation.primitive.bind(
        *(jax.numpy.asarray(value.known) for value in values), **equation.params
    )
    return [graph.known(result) for result in (results if equation.primitive.multiple_results else [results])]


def _like(equation: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Shape and dtype of each result."""
    return [(variable.aval.shape, variable.aval.dtype) for variable in equation.outvars]


def _scan(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    """A Scan: the constants are read from the graph around, the carried values and the rows are its arguments."""
    given = equation.params
    constants, rest = values[: given["num_consts"]], values[given["num_consts"] :]
    carried, rows = rest[: given["num_carry"]], rest[given["num_carry"] :]
    body = graph.inside()
    arguments = [body.input(value.shape, value.dtype) for value in carried]
    arguments += [body.input(value.shape[1:], value.dtype) for value in rows]
    for result in _written_out(body, given["jaxpr"], [*constants, *arguments]):
        body.output(result)
    carried, rows = _with_entries(carried), _with_entries(rows)
    if not rows:  # a Scan needs something to count its steps by
        rows = [graph.known(np.zeros(given["length"], np.float32))]
        body.input((), np.float32)
    direction = int(given["reverse"])
    return graph.add_several(
        "Scan",
        [*carried, *rows],
        _like(equation),
        body=body,
        num_scan_inputs=len(rows),
        scan_input_directions=[direction] * len(rows),
        scan_output_directions=[direction] * (len(body.outputs) - len(carried)),
    )


def _with_entries(values: list[Value]) -> list[Value]:
    return [value for value in values if 0 not in value.shape]


def _branch(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    """An If over the two functions of a `cond`, which read their arguments from the graph around."""
    which, *arguments = values
    where_false, where_true = equation.params["branches"]
    bodies = []
    for called in (where_true, where_false):
        bodies.append(graph.inside())
        for result in _written_out(bodies[-1], called, arguments):
            bodies[-1].output(result)
    choice = [graph.cast(which, bool)]
    return graph.add_several("If", choice, _like(equation), then_branch=bodies[0], else_branch=bodies[1])


CONTROL: dict[str, Translation] = {"scan": _scan, "cond": _branch}
TABLE = {**ELEMENTWISE, **OPERATIONS, **INDEXING, **CONTROL}
