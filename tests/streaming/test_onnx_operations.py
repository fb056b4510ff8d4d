"""Each operation that the export knows, run by ONNX Runtime, gives what JAX gives; what it does not know is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.cells import GRU
from undertow.streaming.onnx_translation import TABLE, translate
from undertow.vocabulary import UndertowError

onnxruntime = pytest.importorskip("onnxruntime")
from undertow.streaming.onnx_graph import Graph, model_content  # noqa: E402 - it needs the extra

RNG = np.random.default_rng(0)
VECTOR = RNG.normal(size=4).astype(np.float32)
OTHER = RNG.normal(size=4).astype(np.float32)
MATRIX = RNG.normal(size=(3, 4)).astype(np.float32)
CUBE = RNG.normal(size=(3, 2, 4)).astype(np.float32)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32)
FLAGS = np.array([True, False, True, True])
WHOLE = np.array([3, -2, 7, 0], np.int32)
TABLE_OF_ROWS = RNG.normal(size=(5, 4)).astype(np.float32)
POSITIVE = np.abs(VECTOR) + 0.1
CELL = GRU(4, 4, key=jax.random.key(0))


def dot(left, right, *axes):
    return jax.lax.dot_general(left, right, axes, preferred_element_type=jnp.float32)


def loop(rows, start, *, reverse=False):
    def advance(state, row):
        return jnp.tanh(state + row), {"squares": state * row, "state": state}

    return jax.lax.scan(advance, start, rows, reverse=reverse)


def repeated(start):
    return jax.lax.scan(lambda state, _: (2 * state, state), start, None, length=3)


def either(flag, vector):
    return jax.lax.cond(flag, lambda given: given + 1.0, lambda given: jnp.zeros_like(given), vector)


UNARY = (
    *(jnp.negative, jnp.abs, jnp.sign, jnp.floor, jnp.ceil, jnp.exp, jnp.sin, jnp.cos, jnp.tan, jnp.tanh),
    *(jnp.isfinite, jnp.isnan, jnp.square, jnp.expm1, jnp.exp2, jax.lax.logistic, jax.lax.erf, jax.lax.erfc),
    *(jax.nn.softplus, jax.nn.gelu, jax.nn.softmax, jax.nn.log_softmax, jax.nn.silu, jax.nn.relu),
    *(
        jnp.cumsum,
        jax.lax.cummax,
        jax.lax.cummin,
        jnp.argmax,
        jnp.argmin,
        jnp.max,
        jnp.min,
        jnp.prod,
        jnp.var,
    ),
)
ROOTS = (jnp.sqrt, jnp.log, jnp.log1p, jax.lax.rsqrt)
BINARY = (
    *(jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.maximum, jnp.minimum, jnp.logaddexp, jax.lax.rem),
    *(jnp.equal, jnp.not_equal, jnp.less, jnp.less_equal, jnp.greater, jnp.greater_equal),
)
CASES = {
    **{function.__name__: (function, [VECTOR]) for function in UNARY},
    **{function.__name__: (function, [POSITIVE]) for function in ROOTS},
    **{function.__name__: (function, [VECTOR, OTHER]) for function in BINARY},
    "not a number, infinite": (lambda x: (jnp.isfinite(x), jnp.isnan(x), jnp.nan_to_num(x)), [SPECIAL]),
    "power": (lambda x, y: (x**y, x**3, x**-1), [POSITIVE, OTHER]),
    "booleans": (lambda a, b: (a & b, a | b, ~a, a ^ b, a.any(), a.all()), [FLAGS, ~FLAGS]),
    "booleans of whole numbers": (lambda a: (a & 3, a | 8, ~a, a ^ 5), [WHOLE]),
    "whole numbers": (lambda a: (a + 1, jnp.abs(a), jax.lax.div(a, jnp.int32(2)), a.sum(), a.max()), [WHOLE]),
    "select": (lambda a, x, y: (jnp.where(a, x, y), jnp.where(a[0], x, y)), [FLAGS, VECTOR, OTHER]),
    "clamp": (lambda x: (jax.lax.clamp(-0.5, x, 0.5), jnp.clip(x, -0.2, 0.1)), [VECTOR]),
    "round": (lambda x: (jnp.round(x), jax.lax.round(x)), [np.array([0.5, 1.5, -2.5, 0.2], np.float32)]),
    "broadcast": (
        lambda x, m: (x[None] + m, m + m.sum(1)[:, None], jnp.broadcast_to(x[:, None], (4, 2)), (x[None] + x[None]) @ m.T),
        [VECTOR, MATRIX],
    ),
    "convert": (lambda a, b: (a.astype(jnp.float32), b.astype(jnp.int32), a > 0), [WHOLE, VECTOR]),
    "reduce": (lambda x: (x.sum(0), x.mean(1, keepdims=True), x.max((0, 2)), x.min(-1)), [CUBE]),
    "normalised": (lambda x: (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True), [MATRIX]),
    "narrow result": (lambda x: jnp.broadcast_to(x[:1], (4,)), [VECTOR]),
    "narrow sum": (lambda x: jnp.broadcast_to(x.sum()[None], (4,)).sum(), [VECTOR]),
    "vector times matrix": (lambda x, m: (x @ m.T, m @ x, m.T @ m), [VECTOR, MATRIX]),
    "inner and outer product": (lambda x, y: (x @ y, dot(x, y, ((), ()), ((), ()))), [VECTOR, OTHER]),
    "shared axes": (lambda a, b: (jnp.einsum("thd,hd->ht", a, b[:2]), jnp.einsum("thd,ihd->hti", a, a)), [CUBE, MATRIX]),
    "shared and summed": (lambda a: dot(a, a, ((0,), (0,)), ((1, 2), (1, 2))), [CUBE]),
    "two summed axes": (lambda a, m: (jnp.einsum("thd,hd->t", a, m[:2]), jnp.einsum("thd,td->h", a, m)), [CUBE, MATRIX]),
    "shapes": (lambda a: (a.reshape(6, 4), a.transpose(2, 0, 1), a[:, :1].squeeze(1), a[None]), [CUBE]),
    "concatenate": (lambda x, y: (jnp.concatenate([x, y[:0], y]), jnp.stack([x, y], 1)), [VECTOR, OTHER]),
    "split": (lambda x: (jnp.split(x, 2), jnp.split(x, [1])), [VECTOR]),
    "slice": (lambda a: (a[1:, :, 1:4:2], a[:, 0], a[..., ::-1], a[-1], a[:]), [CUBE]),
    "pad": (lambda m: (jnp.pad(m, ((1, 2), (0, 1))), jax.lax.pad(m, jnp.float32(0), [(-1, 0, 0), (1, -2, 0)])), [MATRIX]),
    "cumulative": (lambda m: (jax.lax.cummax(m, 1, reverse=True), jax.lax.cummin(m, 0), jnp.cumsum(m, 1)), [MATRIX]),
    "cumulative sum backwards": (lambda m: jax.lax.cumsum(m, 0, reverse=True), [MATRIX]),
    **{
        f"row {number}": (
            lambda table, n, row: (
                table[n],
                jax.lax.dynamic_index_in_dim(table, n),
                jax.lax.dynamic_slice(table, (n, n), (2, 3)),
                jnp.take(table, n, axis=0, mode="clip"),
                jnp.take(table, n, axis=1),
                table.at[n].set(row),
                table.at[:, n].set(jnp.ones(5)),
                jax.lax.dynamic_update_slice(table, row[None], (n, 0)),
                jax.lax.dynamic_update_slice(table, jnp.ones((2, 4)), (n, 0)),
                jax.lax.dynamic_update_slice(table, jnp.ones((2, 2)), (n, n)),
            ),
            [TABLE_OF_ROWS, np.int32(number), VECTOR],
        )
        for number in (0, 2, 4, -1, 9)
    },
    "rows": (
        lambda table, n: (table[n], table[:, n], jnp.take(table, n, axis=0)),
        [TABLE_OF_ROWS, np.array([[0, 3], [9, 1]], np.int32)],
    ),
    "rows of whole numbers": (lambda table, n: table[n], [WHOLE, np.array([0, 3, 9], np.int32)]),
    "loop": (lambda m, x: loop(m, x), [MATRIX, VECTOR]),
    "loop backwards": (lambda m, x: loop(m, x, reverse=True), [MATRIX, VECTOR]),
    "loop without rows": (repeated, [VECTOR]),
    "loop in a loop": (lambda a, x: jax.lax.scan(lambda s, m: loop(m, s), x, a), [CUBE, VECTOR]),
    "branch": (either, [np.bool_(True), VECTOR]),
    "other branch": (either, [np.bool_(False), VECTOR]),
    "an argument and a constant as results": (lambda x: (x, jnp.ones(3), x), [VECTOR]),
    "cell": (lambda h, x: CELL.run(h, CELL.project(x)), [VECTOR, MATRIX]),
}  # fmt: skip


def run(function, arguments):
    """What ONNX Runtime yields."""
    graph = Graph()
    values = [
        graph.input(array.shape, array.dtype, f"argument_{place}") for place, array in enumerate(arguments)
    ]
    for place, value in enumerate(translate(graph, function, arguments, values)):
        graph.output(value, f"result_{place}")
    session = onnxruntime.InferenceSession(model_content(graph, {}, {}), providers=["CPUExecutionProvider"])
    read = {taken.name for taken in session.get_inputs()}
    fed = {f"argument_{place}": np.asarray(array) for place, array in enumerate(arguments)}
    return session.run(None, {name: array for name, array in fed.items() if name in read})


@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_gives_what_jax_gives(name):
    function, arguments = CASES[name]
    expected = jax.tree.leaves(function(*(jnp.asarray(array) for array in arguments)))
    found = run(function, arguments)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_every_operation_of_the_table_is_tried():
    tried = set()
    for function, arguments in CASES.values():
        tried |= set(primitives(jax.make_jaxpr(function)(*arguments).jaxpr))
    assert set(TABLE) - tried <= {"add_any", "copy", "copy_p", "expand_dims"}


def primitives(jaxpr):
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            if hasattr(inner, "eqns"):
                yield from primitives(getattr(inner, "jaxpr", inner))


def test_what_does_not_depend_on_the_arguments_is_computed_before():
    graph = Graph()
    value = graph.input((4,), np.float32, "vector")
    kernel = jnp.asarray(MATRIX.T)
    translate(
        graph, lambda x: x @ (kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True)), [VECTOR], [value]
    )
    assert [node.op_type for node in graph.nodes] == ["MatMul"]


def test_equal_constants_are_kept_once_and_unread_results_left_out():
    graph = Graph()
    value = graph.input((4,), np.float32, "vector")
    one, _ = translate(graph, lambda x: ((x + 2.0) * 2.0, jnp.exp(x)), [VECTOR], [value])
    graph.output(one, "result")
    content = graph.content("graph", {})
    assert [node.op_type for node in content.node] == ["Add", "Mul", "Identity"]
    assert len(content.initializer) == 1


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (jnp.sort, "sort"),
        (lambda x: x[:, None][jnp.asarray([1, 2]), jnp.int32(x[0])], "gather along several axes"),
        (lambda x: x.at[x.astype(jnp.int32)].set(0.0), "scatter to several places"),
        (lambda x: jax.lax.pad(x, jnp.float32(0), [(0, 0, 1)]), "pad between entries"),
    ],
)
def test_an_operation_that_is_not_known_is_named(function, name):
    with pytest.raises(UndertowError, match=name):
        run(function, [VECTOR])
