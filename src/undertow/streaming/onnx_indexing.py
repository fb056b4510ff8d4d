"""What JAX's ways to read and write parts of an array are in ONNX: slices, tables read by a number, rows that are replaced.

The functions are those of `INDEXING`, made like `OPERATIONS` in `onnx_operations`. Of JAX's general gather and scatter there is
what indexing with one number gives (`table[bin]`, `cache.at[bin].set(row)`), and a gather along one axis; the rest is refused.
"""

from typing import Any

import numpy as np
from jax import lax

from undertow.streaming.onnx_elementwise import Translation, constant_like, result_of
from undertow.streaming.onnx_graph import Graph, Value
from undertow.vocabulary import UndertowError

TO_THE_END = np.iinfo(np.int64).max


def _slice(graph: Graph, equation: Any, values: list[Value]) -> Value:
    given = equation.params
    strides = given["strides"] or (1,) * len(values[0].shape)
    return _cut(graph, values[0], given["start_indices"], given["limit_indices"], strides)


def _cut(graph: Graph, value: Value, starts: Any, ends: Any, strides: Any) -> Value:
    """Entries from `starts` to `ends`, on the axes along which that is not everything."""
    axes = [
        axis
        for axis, cut in enumerate(zip(starts, ends, strides, strict=True))
        if cut != (0, value.shape[axis], 1)
    ]
    shape = [len(range(*cut)) for cut in zip(starts, ends, strides, strict=True)]
    if not axes:
        return value
    parts = (starts, ends, range(len(value.shape)), strides)
    bounds = [graph.integers([part[axis] for axis in axes]) for part in parts]
    return graph.add("Slice", value, *bounds, shape=shape)


def _reverse(graph: Graph, equation: Any, values: list[Value]) -> Value:
    axes = equation.params["dimensions"]
    ends = graph.integers([-TO_THE_END] * len(axes))
    steps = graph.integers([-1] * len(axes))
    bounds = (graph.integers([-1] * len(axes)), ends, graph.integers(axes), steps)
    return graph.add("Slice", values[0], *bounds, shape=values[0].shape)


def _pad(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """Entries in front and behind, a negative number of them for fewer than there were."""
    padding = equation.params["padding_config"]
    if any(between for _, _, between in padding):
        raise _refused("pad between entries")
    pads = graph.integers([before for before, _, _ in padding] + [after for _, after, _ in padding])
    return graph.add("Pad", values[0], pads, values[1], shape=result_of(equation).shape)


def _place(graph: Graph, number: Value, largest: int) -> Value:
    """A place along an axis as a list of one, moved to between 0 and `largest` as JAX does."""
    if number.is_known:
        return graph.integers([int(np.clip(np.asarray(number.known), 0, largest))])
    place = graph.cast(graph.reshaped(number, (1,)), np.int64)
    place = graph.elementwise("Max", place, graph.integers([0]))
    return graph.elementwise("Min", place, graph.integers([largest]))


def _read_slice(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """`dynamic_slice`: so many entries from a place on, along each axis."""
    value, *starts = values
    return _read(graph, value, starts, equation.params["slice_sizes"])


def _read(graph: Graph, value: Value, starts: list[Value], sizes: Any) -> Value:
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        length = value.shape[axis]
        if size == length:
            continue
        place = _place(graph, start, length - size)
        end = graph.elementwise("Add", place, graph.integers([size]))
        shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
        value = graph.add("Slice", value, place, end, graph.integers([axis]), shape=shape)
    return value


def _replace_slice(graph: Graph, _: Any, values: list[Value]) -> Value:
    """`dynamic_update_slice`: the array with other entries from a place on."""
    value, update, *starts = values
    return _replace(graph, value, update, starts, axis=0)


def _replace(graph: Graph, value: Value, update: Value, starts: list[Value], *, axis: int) -> Value:
    """Along the first axis on which the update is shorter: what is before it, the update in its own rows, what is behind it."""
    while axis < len(value.shape) and update.shape[axis] == value.shape[axis]:
        axis += 1
    if axis == len(value.shape):
        return update
    length, size = value.shape[axis], update.shape[axis]
    place = _place(graph, starts[axis], length - size)
    if size == 1 and update.shape[axis + 1 :] == value.shape[axis + 1 :]:
        return _replace_row(graph, value, update, place, axis=axis)
    sizes = [size if number == axis else other for number, other in enumerate(value.shape)]
    rows = _replace(graph, _read(graph, value, starts, sizes), update, starts, axis=axis + 1)
    numbers = graph.known(np.arange(size).reshape(-1, *(1,) * (len(value.shape) - axis - 1)))
    places = graph.full(graph.elementwise("Add", numbers, place), rows.shape)
    return graph.add("ScatterElements", value, places, rows, shape=value.shape, axis=axis)


def _replace_row(graph: Graph, value: Value, row: Value, place: Value, *, axis: int) -> Value:
    """The row where the axis' number is `place`, the value elsewhere: faster than to scatter, and nothing where it is beyond."""
    numbers = np.arange(value.shape[axis]).reshape(-1, *(1,) * (len(value.shape) - axis - 1))
    is_there = graph.elementwise("Equal", graph.known(numbers), place, dtype=bool)
    return graph.elementwise("Where", is_there, row, value, dtype=value.dtype)


def _gather(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """Entries along one axis at the places that an array of numbers says."""
    table, numbers = values
    dimensions, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    (axis,) = dimensions.start_index_map if len(dimensions.start_index_map) == 1 else (None,)
    whole = [size == length for size, length in zip(sizes, table.shape, strict=True)]
    is_one_axis = axis is not None and sizes[axis] == 1 and all(whole[:axis] + whole[axis + 1 :])
    if not is_one_axis or dimensions.collapsed_slice_dims != (axis,) or dimensions.operand_batching_dims:
        raise _refused("gather along several axes")
    numbers = graph.cast(graph.reshaped(numbers, numbers.shape[:-1]), np.int64)
    places = graph.elementwise("Max", numbers, constant_like(graph, 0, numbers))
    places = graph.elementwise("Min", places, constant_like(graph, table.shape[axis] - 1, numbers))
    shape = (*table.shape[:axis], *places.shape, *table.shape[axis + 1 :])
    rows = graph.add("Gather", table, places, shape=shape, axis=axis)
    if equation.params["mode"] == lax.GatherScatterMode.FILL_OR_DROP:
        is_inside = graph.elementwise("Equal", numbers, places, dtype=bool)
        is_inside = graph.reshaped(is_inside, (*places.shape, *(1,) * (len(table.shape) - axis - 1)))
        rows = graph.elementwise("Where", is_inside, rows, _filling(graph, equation, rows), dtype=rows.dtype)
    return graph.transposed(rows, _order(equation, axis, len(places.shape)))


def _filling(graph: Graph, equation: Any, rows: Value) -> Value:
    """What JAX reads beyond a table's end."""
    given = equation.params["fill_value"]
    if given is None:
        given = np.nan if np.issubdtype(rows.dtype, np.floating) else np.iinfo(rows.dtype).min
    return constant_like(graph, given, rows)


def _order(equation: Any, axis: int, index_axes: int) -> list[int]:
    """Where the axes of ONNX' gather (the table's, with those of the numbers in the place of `axis`) go in JAX's."""
    rank = len(result_of(equation).shape)
    offsets = equation.params["dimension_numbers"].offset_dims
    of_table = iter([place for place in range(rank) if not axis <= place < axis + index_axes])
    of_numbers = iter(range(axis, axis + index_axes))
    return [next(of_table) if place in offsets else next(of_numbers) for place in range(rank)]


def _scatter(graph: Graph, equation: Any, values: list[Value]) -> Value:
    """`array.at[number].set(row)`: one row, in the place of the one there; nothing where the number is beyond."""
    value, number, row = values
    dimensions = equation.params["dimension_numbers"]
    inserted = dimensions.inserted_window_dims
    is_one_row = number.shape == (1,) and inserted == dimensions.scatter_dims_to_operand_dims
    if not is_one_row or len(inserted) != 1 or dimensions.operand_batching_dims:
        raise _refused("scatter to several places")
    (axis,) = inserted
    row = graph.reshaped(row, (*value.shape[:axis], 1, *value.shape[axis + 1 :]))
    place = graph.cast(number, np.int64)
    if equation.params["mode"] == lax.GatherScatterMode.CLIP:
        place = _place(graph, place, value.shape[axis] - 1)
    return _replace_row(graph, value, row, place, axis=axis)


def _refused(what: str) -> UndertowError:
    return UndertowError(
        f"The model's step has an operation ({what}) that the export to ONNX does not know; run it by fitted.stream() instead."
    )


INDEXING: dict[str, Translation] = {
    "slice": _slice,
    "rev": _reverse,
    "pad": _pad,
    "gather": _gather,
    "scatter": _scatter,
    "dynamic_slice": _read_slice,
    "dynamic_update_slice": _replace_slice,
}
