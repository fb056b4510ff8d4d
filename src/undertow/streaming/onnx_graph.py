"""A graph of ONNX operations under construction, and the file's content that it becomes.

`Graph.add` puts one operation in and gives the `Value` that it yields. What is known while the graph is built (weights, tables,
positions) is a `Value` with its array, and becomes an initialiser only if an operation reads it. A body of a loop or a branch is
a graph inside: it reads the values of the graph around it by their names, as ONNX allows.

Broadcasting is put off: a value may be kept narrower than it is said to be (length 1 along an axis, or without the first axes),
for element-wise operations of ONNX broadcast by themselves; `Graph.full` widens it where an operation does not. Arrays without
entries (known inputs where there are none) stay out of the graph: not every operation takes them.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 18
INTERMEDIATE_REPRESENTATION = 8


class Value(NamedTuple):
    """One array of the graph: its name there, or what it is (`known`) where that does not depend on the graph's inputs."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    known: Any = None

    @property
    def is_known(self) -> bool:
        """Whether it is a constant."""
        return self.known is not None


class Graph:
    """Operations in their order, and the constants that they read.

    `around` is the graph in whose loop or branch this one stands; names and constants are shared with it.
    """

    def __init__(self, around: "Graph | None" = None):
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.names: list[str] = [] if around is None else around.names
        self.constants: dict[tuple, onnx.TensorProto] = {} if around is None else around.constants
        self.unshaped: dict[str, Value] = {} if around is None else dict(around.unshaped)

    def inside(self) -> "Graph":
        """An empty graph for the body of a loop or of a branch of this one."""
        return Graph(self)

    def input(self, shape: Sequence[int], dtype: Any, name: str = "") -> Value:
        """A further input; without a name it gets a number. One without entries is no input but a constant."""
        if 0 in shape:
            return self.known(np.zeros(shape, dtype))
        value = self._fresh(tuple(shape), np.dtype(dtype), name)
        self.inputs.append(_described(value))
        return value

    def output(self, value: Value, name: str = "") -> None:
        """Let the graph yield `value`, if it has entries; under a name of its own, for an input cannot be an output as it is."""
        if 0 in value.shape:
            return
        result = self._fresh(value.shape, value.dtype, name)
        self.nodes.append(helper.make_node("Identity", [self._read(value)], [result.name]))
        self.outputs.append(_described(result))

    def known(self, array: Any) -> Value:
        """A constant."""
        return Value("", tuple(np.shape(array)), np.dtype(array.dtype), array)

    def add(
        self, operation: str, *values: Value, shape: Sequence[int], dtype: Any = None, **attributes: Any
    ) -> Value:
        """What the operation yields for these values: `shape`, and the first value's dtype if not another is said."""
        result = self._fresh(tuple(shape), np.dtype(values[0].dtype if dtype is None else dtype))
        names = [self._read(value) for value in values]
        self.nodes.append(helper.make_node(operation, names, [result.name], **attributes))
        return result

    def add_several(
        self, operation: str, values: Sequence[Value], like: Sequence[tuple], **attributes: Any
    ) -> list[Value]:
        """As `add`, for an operation of several results with these shapes and dtypes; it yields those that have entries.

        A `Graph` among the attributes is a body.
        """
        results = [
            self.known(np.zeros(shape, dtype)) if 0 in shape else self._fresh(tuple(shape), np.dtype(dtype))
            for shape, dtype in like
        ]
        bodies = {name: body.content(name) for name, body in attributes.items() if isinstance(body, Graph)}
        names = [self._read(value) for value in values]
        yielded = [result.name for result in results if not result.is_known]
        self.nodes.append(helper.make_node(operation, names, yielded, **{**attributes, **bodies}))
        return results

    def integers(self, numbers: Sequence[int]) -> Value:
        """A constant list of axes, lengths or places, as ONNX takes them."""
        return self.known(np.asarray(list(numbers), np.int64))

    def elementwise(self, operation: str, *values: Value, dtype: Any = None) -> Value:
        """An operation entry by entry, which broadcasts."""
        shape = np.broadcast_shapes(*(value.shape for value in values))
        return self.add(operation, *values, shape=shape, dtype=dtype)

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """The same entries in another shape."""
        if value.is_known:
            return self.known(np.asarray(value.known).reshape(shape))
        source = self.unshaped.get(value.name, value)
        if source.shape == tuple(shape):
            return source
        result = self.add("Reshape", source, self.integers(shape), shape=shape)
        self.unshaped[result.name] = source
        return result

    def transposed(self, value: Value, order: Sequence[int]) -> Value:
        """The axes in another order."""
        if list(order) == sorted(order):
            return value
        if value.is_known:
            return self.known(np.ascontiguousarray(np.asarray(value.known).transpose(order)))
        shape = [value.shape[axis] for axis in order]
        return self.add("Transpose", value, shape=shape, perm=list(order))

    def full(self, value: Value, shape: Sequence[int]) -> Value:
        """The value as wide as it is said to be."""
        if value.shape == tuple(shape) or value.is_known:
            return value
        if math.prod(value.shape) == math.prod(shape):
            return self.reshaped(value, shape)
        return self.add("Expand", value, self.integers(shape), shape=shape)

    def cast(self, value: Value, dtype: Any) -> Value:
        """The value in another dtype."""
        if value.dtype == np.dtype(dtype):
            return value
        if value.is_known:
            return self.known(np.asarray(value.known).astype(dtype))
        return self.add("Cast", value, shape=value.shape, dtype=dtype, to=_element_type(dtype))

    def content(self, name: str, defaults: dict[str, np.ndarray] | None = None) -> onnx.GraphProto:
        """The finished graph, without operations whose results nobody reads.

        `defaults` are the values that inputs take if none is given. A graph inside another one leaves its constants to that one.
        """
        nodes = _read_nodes(self.nodes, {output.name for output in self.outputs})
        starts = [numpy_helper.from_array(array, label) for label, array in (defaults or {}).items()]
        if defaults is not None:
            read = _names_read(nodes)
            starts += [tensor for tensor in self.constants.values() if tensor.name in read]
        return helper.make_graph(nodes, name, self.inputs, self.outputs, initializer=starts)

    def _fresh(self, shape: tuple[int, ...], dtype: np.dtype, name: str = "") -> Value:
        self.names.append(name or f"value_{len(self.names)}")
        return Value(self.names[-1], shape, dtype)

    def _read(self, value: Value) -> str:
        """The name under which operations read a value."""
        if not value.is_known:
            return value.name
        array = np.asarray(value.known)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"constant_{len(self.constants)}")
        return self.constants[key].name


def model_content(graph: Graph, defaults: dict[str, np.ndarray], facts: dict[str, str]) -> bytes:
    """The content of an ONNX file, checked against the standard: the graph, its inputs' defaults, and facts to read in it."""
    model = helper.make_model(
        graph.content("one_bin_step", defaults),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=INTERMEDIATE_REPRESENTATION,
        producer_name="undertow",
    )
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _described(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, _element_type(value.dtype), list(value.shape))


def _element_type(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _read_nodes(nodes: Sequence[onnx.NodeProto], read: set[str]) -> list[onnx.NodeProto]:
    """The operations, in their order, from which one of the names in `read` follows."""
    kept = []
    for node in reversed(nodes):
        if read & set(node.output):
            kept.append(node)
            read = read | _names_read([node])
    return kept[::-1]


def _names_read(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Names that operations read, also inside their loops and branches."""
    bodies = [attribute.g for node in nodes for attribute in node.attribute if attribute.HasField("g")]
    inside = (_names_read(body.node) | {output.name for output in body.output} for body in bodies)
    return {name for node in nodes for name in node.input}.union(*inside)
