"""What JAX's operations on each entry are in ONNX: arithmetic, comparisons, functions of one number.

`ELEMENTWISE` maps the name of a primitive of JAX to a function `(graph, equation, values) -> Value`. `equation` is that of the
jaxpr: its parameters, and the shape and dtype of what it yields. The values may be narrower than they are said to be (see
`onnx_graph`). To add a primitive: a line in the table, and a case in tests/streaming/test_onnx_operations.py.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from undertow.streaming.onnx_graph import Graph, Value

Translation = Callable[[Graph, Any, list[Value]], Value | list[Value]]


def result_of(equation: Any) -> Any:
    """Shape and dtype of what an equation yields, where that is one array."""
    return equation.outvars[0].aval


def constant_like(graph: Graph, number: float, value: Value) -> Value:
    """A number, of the dtype of `value`."""
    return graph.known(np.asarray(number, value.dtype))


def _named(operation: str) -> Translation:
    """The operation of ONNX that does the same."""

    def translate(graph: Graph, equation: Any, values: list[Value]) -> Value:
        return graph.elementwise(operation, *values, dtype=result_of(equation).dtype)

    return translate


def _logical(of_booleans: str, of_integers: str) -> Translation:
    def translate(graph: Graph, _: Any, values: list[Value]) -> Value:
        return graph.elementwise(of_booleans if values[0].dtype == bool else of_integers, *values)

    return translate


def _chain(*operations: str) -> Translation:
    """One operation after another, on one value."""

    def translate(graph: Graph, _: Any, values: list[Value]) -> Value:
        (value,) = values
        for operation in operations:
            value = graph.elementwise(operation, value)
        return value

    return translate


def _same(_: Graph, __: Any, values: list[Value]) -> Value:
    return values[0]


def _convert(graph: Graph, equation: Any, values: list[Value]) -> Value:
    return graph.cast(values[0], equation.params["new_dtype"])


def _not_equal(graph: Graph, _: Any, values: list[Value]) -> Value:
    return graph.elementwise("Not", graph.elementwise("Equal", *values, dtype=bool))


def _is_finite(graph: Graph, _: Any, values: list[Value]) -> Value:
    """|x| < infinity, which NaN is not either."""
    size = graph.elementwise("Abs", values[0])
    return graph.elementwise("Less", size, constant_like(graph, math.inf, size), dtype=bool)


def _select(graph: Graph, _: Any, values: list[Value]) -> Value:
    which, where_false, where_true = values
    return graph.elementwise(
        "Where", graph.cast(which, bool), where_true, where_false, dtype=where_true.dtype
    )


def _clamp(graph: Graph, _: Any, values: list[Value]) -> Value:
    low, value, high = values
    return graph.elementwise("Min", graph.elementwise("Max", value, low), high)


def _square(graph: Graph, _: Any, values: list[Value]) -> Value:
    return graph.elementwise("Mul", values[0], values[0])


def _integer_power(graph: Graph, equation: Any, values: list[Value]) -> Value:
    if equation.params["y"] == 2:
        return _square(graph, equation, values)
    return graph.elementwise("Pow", values[0], constant_like(graph, equation.params["y"], values[0]))


def _remainder(graph: Graph, _: Any, values: list[Value]) -> Value:
    """With the sign of the dividend, as in C."""
    shape = np.broadcast_shapes(*(value.shape for value in values))
    return graph.add("Mod", *values, shape=shape, fmod=1)


def _rounded(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """To the even neighbour from halfway, as ONNX does; or away from zero."""
    if equation.params["rounding_method"] == lax.RoundingMethod.TO_NEAREST_EVEN:
        return graph.elementwise("Round", values[0])
    size = graph.elementwise("Abs", values[0])
    size = graph.elementwise("Floor", graph.elementwise("Add", size, constant_like(graph, 0.5, size)))
    return graph.elementwise("Mul", graph.elementwise("Sign", values[0]), size)


def _log_of_one_more(graph: Graph, _: Any, values: list[Value]) -> Value:
    """To the precision of 1 + x: absolutely, not relatively, exact where x is small."""
    return graph.elementwise("Log", graph.elementwise("Add", values[0], constant_like(graph, 1.0, values[0])))


def _exponential_less_one(graph: Graph, _: Any, values: list[Value]) -> Value:
    """To the precision of exp(x)."""
    power = graph.elementwise("Exp", values[0])
    return graph.elementwise("Sub", power, constant_like(graph, 1.0, power))


def _power_of_two(graph: Graph, _: Any, values: list[Value]) -> Value:
    return graph.elementwise("Pow", constant_like(graph, 2.0, values[0]), values[0])


def _complementary_error(graph: Graph, _: Any, values: list[Value]) -> Value:
    error = graph.elementwise("Erf", values[0])
    return graph.elementwise("Sub", constant_like(graph, 1.0, error), error)


ELEMENTWISE: dict[str, Translation] = {
    **{name: _named(name.capitalize()) for name in ("add", "sub", "mul", "div", "max", "min", "pow")},
    **{name: _named(name.capitalize()) for name in ("neg", "abs", "sign", "floor", "ceil", "exp", "log")},
    **{name: _named(name.capitalize()) for name in ("sqrt", "sin", "cos", "tan", "tanh", "erf")},
    "add_any": _named("Add"),
    "logistic": _named("Sigmoid"),
    "eq": _named("Equal"),
    "lt": _named("Less"),
    "le": _named("LessOrEqual"),
    "gt": _named("Greater"),
    "ge": _named("GreaterOrEqual"),
    "ne": _not_equal,
    "and": _logical("And", "BitwiseAnd"),
    "or": _logical("Or", "BitwiseOr"),
    "not": _logical("Not", "BitwiseNot"),
    "xor": _logical("Xor", "BitwiseXor"),
    "is_finite": _is_finite,
    "select_n": _select,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "rsqrt": _chain("Sqrt", "Reciprocal"),
    "square": _square,
    "integer_pow": _integer_power,
    "log1p": _log_of_one_more,
    "expm1": _exponential_less_one,
    "exp2": _power_of_two,
    "erfc": _complementary_error,
    "rem": _remainder,
    "round": _rounded,
    **{name: _same for name in ("copy", "copy_p", "stop_gradient")},
}
