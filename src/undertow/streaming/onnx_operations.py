"""What JAX's operations on whole arrays are in ONNX: sums and other reductions, products, changes of shape.

The functions of `OPERATIONS` are made like those of `ELEMENTWISE` in `onnx_elementwise`, but their values are never narrower than
they are said to be, and an operation of several results gives a list.
"""

import math
from typing import Any

import numpy as np

from undertow.streaming.onnx_elementwise import Translation, result_of
from undertow.streaming.onnx_graph import Graph, Value


def _reduction(operation: str) -> Translation:
    def translate(graph: Graph, equation: Any, values: list[Value]) -> Value:
        axes = graph.integers(equation.params["axes"])
        return graph.add(operation, values[0], axes, shape=result_of(equation).shape, keepdims=0)

    return translate


def _reduction_of_booleans(operation: str) -> Translation:
    """All or any, as the least or the largest of ones and zeros."""

    def translate(graph: Graph, equation: Any, values: list[Value]) -> Value:
        number = _reduction(operation)(graph, equation, [graph.cast(values[0], np.int32)])
        return graph.cast(number, bool)

    return translate


def _place_of(operation: str) -> Translation:
    def translate(graph: Graph, equation: Any, values: list[Value]) -> Value:
        (axis,) = equation.params["axes"]
        result = result_of(equation)
        place = graph.add(
            operation, values[0], shape=result.shape, dtype=np.int64, axis=int(axis), keepdims=0
        )
        return graph.cast(place, result.dtype)

    return translate


def _cumulative_sum(graph: Graph, equation: Any, values: list[Value]) -> Value:
    axis = graph.known(np.asarray(equation.params["axis"], np.int64))
    return graph.add(
        "CumSum", values[0], axis, shape=values[0].shape, reverse=int(equation.params["reverse"])
    )


def _cumulative_extreme(operation: str) -> Translation:
    """The extreme of each entry's own row of a table: of the entries up to it, or from it on; ONNX has none of its own."""

    def translate(graph: Graph, equation: Any, values: list[Value]) -> Value:
        axis, (value,) = equation.params["axis"], values
        size = value.shape[axis]
        counts = np.tri(size, dtype=bool)
        counts = counts.T if equation.params["reverse"] else counts
        counts = counts.reshape(size, size, *(1,) * (len(value.shape) - axis - 1))
        before, after = value.shape[:axis], value.shape[axis + 1 :]
        rows = graph.reshaped(value, (*before, 1, size, *after))
        # An entry that does not count is replaced by the row's own, which always does.
        own = graph.reshaped(value, (*before, size, 1, *after))
        table = graph.elementwise("Where", graph.known(counts), rows, own, dtype=value.dtype)
        return graph.add(operation, table, graph.integers([axis + 1]), shape=value.shape, keepdims=0)

    return translate


def _product(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """`dot_general` as one MatMul: shared axes first, then the left one's own, summed ones between, the right one's own last."""
    (left_summed, right_summed), (left_shared, right_shared) = equation.params["dimension_numbers"]
    left, right = values
    shape = result_of(equation).shape
    if not left_shared and len(left.shape) == 1 and tuple(right_summed) == (len(right.shape) - 1,):
        # A matrix times a vector: there is nothing to transpose.
        return graph.add("MatMul", right, left, shape=shape)
    left_own = _others(left, (*left_shared, *left_summed))
    right_own = _others(right, (*right_shared, *right_summed))
    shared, summed = _lengths(left, left_shared), (math.prod(_lengths(left, left_summed)),)
    rows = (math.prod(_lengths(left, left_own)),) if left_own or shared else ()
    columns = (math.prod(_lengths(right, right_own)),) if right_own or shared else ()
    left = graph.transposed(left, (*left_shared, *left_own, *left_summed))
    right = graph.transposed(right, (*right_shared, *right_summed, *right_own))
    left = graph.reshaped(left, (*shared, *rows, *summed))
    right = graph.reshaped(right, (*shared, *summed, *columns))
    return graph.reshaped(graph.add("MatMul", left, right, shape=(*shared, *rows, *columns)), shape)


def _lengths(value: Value, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(value.shape[axis] for axis in axes)


def _others(value: Value, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(len(value.shape)) if axis not in axes)


def _reshape(graph: Graph, equation: Any, values: list[Value]) -> Value:
    return graph.reshaped(values[0], result_of(equation).shape)


def _transpose(graph: Graph, equation: Any, values: list[Value]) -> Value:
    return graph.transposed(values[0], equation.params["permutation"])


def _broadcast(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """The axes in their places, of length 1 where they are new: widened only where that is needed."""
    (value,), axes = values, equation.params["broadcast_dimensions"]
    rank = len(equation.params["shape"])
    if math.prod(value.shape) == 1 or tuple(axes) == tuple(range(rank - len(axes), rank)):
        return value
    shape = [1] * rank
    for axis, length in zip(axes, value.shape, strict=True):
        shape[axis] = length
    return graph.reshaped(value, shape)


def _concatenate(graph: Graph, equation: Any, values: list[Value]) -> Value:
    axis = equation.params["dimension"]
    parts = [value for value in values if value.shape[axis] > 0]
    if len(parts) == 1:
        return parts[0]
    return graph.add("Concat", *parts, shape=result_of(equation).shape, axis=axis)


def _stack(graph: Graph, equation: Any, values: list[Value]) -> Value:
    axis, shape = equation.params["axis"], result_of(equation).shape
    parts = [graph.reshaped(value, (*shape[:axis], 1, *shape[axis + 1 :])) for value in values]
    return graph.add("Concat", *parts, shape=shape, axis=axis)


def _split(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    sizes = graph.integers([size for size in equation.params["sizes"] if size > 0])
    like = [(variable.aval.shape, variable.aval.dtype) for variable in equation.outvars]
    return graph.add_several("Split", [values[0], sizes], like, axis=equation.params["axis"])


OPERATIONS: dict[str, Translation] = {
    **{f"reduce_{name}": _reduction(f"Reduce{name.capitalize()}") for name in ("sum", "max", "min", "prod")},
    "reduce_and": _reduction_of_booleans("ReduceMin"),
    "reduce_or": _reduction_of_booleans("ReduceMax"),
    "argmax": _place_of("ArgMax"),
    "argmin": _place_of("ArgMin"),
    "cumsum": _cumulative_sum,
    "cummax": _cumulative_extreme("ReduceMax"),
    "cummin": _cumulative_extreme("ReduceMin"),
    "dot_general": _product,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "stack": _stack,
    "split": _split,
}
