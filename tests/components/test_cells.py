"""The GRU against its equations in NumPy, and its backward pass against automatic differentiation."""

from operator import itemgetter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.cells import GRU, hold

INPUTS, SIZE, TIME, TRIALS, MEMBERS = 3, 4, 7, 5, 2


def cell(limit=5.0, seed=0):
    return GRU(INPUTS, SIZE, limit=limit, key=jax.random.key(seed))


def drawn(*shape, seed=1, scale=1.0):
    return scale * jax.random.normal(jax.random.key(seed), shape)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def by_equations(gru, state, inputs):
    """The module's head, in double precision, bin by bin."""
    kernels = (gru.input_kernel, gru.bias, gru.gates_kernel, gru.candidate_kernel)
    input_kernel, bias, gates_kernel, candidate_kernel = (
        np.asarray(kernel, np.float64) for kernel in kernels
    )
    state, states = np.asarray(state, np.float64), []
    for bin_inputs in np.asarray(inputs, np.float64):
        reset, update, candidate = np.split(bin_inputs @ input_kernel + bias, 3)
        reset_gates, update_gates = np.split(state @ gates_kernel, 2)
        reset, update = sigmoid(reset + reset_gates), sigmoid(update + update_gates)
        candidate = np.tanh(candidate + (reset * state) @ candidate_kernel)
        state = np.clip(update * state + (1 - update) * candidate, -gru.limit, gru.limit)
        states.append(state)
    return np.stack(states)


@pytest.mark.parametrize("backward", ["by_hand", "automatic"])
@pytest.mark.parametrize("limit", [5.0, 0.3])
def test_states_follow_the_equations(backward, limit):
    gru, inputs, start = cell(limit), drawn(TIME, INPUTS), drawn(SIZE, seed=2)
    states = gru.run(start, gru.project(inputs), backward=backward)
    np.testing.assert_allclose(states, by_equations(gru, start, inputs), rtol=1e-5, atol=1e-6)


def test_steps_one_by_one_are_the_run():
    gru, inputs, state = cell(), drawn(TIME, INPUTS), drawn(SIZE, seed=2)
    states = gru.run(state, gru.project(inputs))
    for bin_inputs, expected in zip(inputs, states, strict=True):
        state = gru.step(state, gru.project(bin_inputs))
        np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-6)


def test_start_of_training():
    gru = GRU(400, 300, joint_fan_in=True, key=jax.random.key(0))
    np.testing.assert_allclose(gru.input_kernel.std(), 1 / np.sqrt(700), rtol=0.02)
    np.testing.assert_allclose(gru.gates_kernel.std(), 1 / np.sqrt(700), rtol=0.02)
    np.testing.assert_allclose(cell().bias, [0] * SIZE + [1] * SIZE + [0] * SIZE)
    own = GRU(400, 300, key=jax.random.key(0))
    np.testing.assert_allclose(own.input_kernel.std(), 1 / np.sqrt(400), rtol=0.02)
    np.testing.assert_allclose(own.candidate_kernel.std(), 1 / np.sqrt(300), rtol=0.02)


def total(gru, starts, inputs, weights, backward):
    """A number that every state reaches with a weight of its own."""
    run = lambda start, trial: gru.run(start, gru.project(trial), backward=backward)  # noqa: E731
    for _ in range(starts.ndim - 1):
        run = jax.vmap(run)
    return jnp.sum(weights * run(starts, inputs))


def gradients(gru, starts, inputs, backward):
    weights = drawn(*starts.shape[:-1], TIME, SIZE, seed=9)
    arrays, static = eqx.partition(gru, eqx.is_array)
    return jax.jit(
        jax.grad(lambda a, s, i: total(eqx.combine(a, static), s, i, weights, backward), argnums=(0, 1, 2))
    )(arrays, starts, inputs)


def assert_trees_close(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), first, second)


@pytest.mark.parametrize(
    "axes", [(1,), (TRIALS,), (3, TRIALS)], ids=["a trial", "trials", "samples of trials"]
)
@pytest.mark.parametrize("limit", [5.0, 0.3], ids=["free", "clipped"])
def test_gradients_equal_automatic_ones(axes, limit):
    gru = cell(limit)
    starts, inputs = drawn(*axes, SIZE, seed=2, scale=0.3), drawn(*axes, TIME, INPUTS)
    by_hand, automatic = (gradients(gru, starts, inputs, backward) for backward in ("by_hand", "automatic"))
    assert_trees_close(by_hand, automatic)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(by_hand))


def test_the_clip_binds_where_it_was_tried_and_cuts_the_gradient():
    gru, inputs = cell(limit=0.3), drawn(TIME, INPUTS)
    states = gru.run(jnp.zeros(SIZE), gru.project(inputs))
    is_bound = np.abs(states) == np.float32(0.3)
    assert 0 < is_bound.mean() < 1
    run = jax.vmap(lambda projected: gru.run(jnp.zeros(SIZE), projected)[-1])
    last = jax.grad(lambda projected: run(projected).sum())(gru.project(inputs)[None])[0, -1]
    own = np.stack(np.split(np.asarray(last), 3))[1:]
    np.testing.assert_array_equal(own[:, is_bound[-1]], 0)
    assert (own[:, ~is_bound[-1]] != 0).all()


def test_gradients_equal_finite_differences():
    gru, inputs, start = cell(), drawn(TIME, INPUTS), drawn(SIZE, seed=2, scale=0.3)
    weights = np.asarray(drawn(1, TIME, SIZE, seed=9)[0], np.float64)
    gradient = gradients(gru, start[None], inputs[None], "by_hand")[0].gates_kernel
    for place in [(0, 0), (1, 5), (3, 7)]:
        moved = [
            np.sum(weights * by_equations(_with_entry(gru, place, step), start, inputs))
            for step in (1e-3, -1e-3)
        ]
        np.testing.assert_allclose(gradient[place], (moved[0] - moved[1]) / 2e-3, rtol=2e-3, atol=1e-4)


def _with_entry(gru, place, step):
    return eqx.tree_at(lambda cell: cell.gates_kernel, gru, gru.gates_kernel.at[place].add(step))


@pytest.mark.parametrize("outer", ["members of trials", "trials of members"])
def test_gradients_of_a_population(outer):
    members = eqx.filter_vmap(lambda key: GRU(INPUTS, SIZE, limit=0.5, key=key))(
        jax.random.split(jax.random.key(0), MEMBERS)
    )
    arrays, static = eqx.partition(members, eqx.is_array)
    starts, inputs = drawn(MEMBERS, TRIALS, SIZE, seed=2, scale=0.3), drawn(MEMBERS, TRIALS, TIME, INPUTS)
    weights = drawn(MEMBERS, TRIALS, TIME, SIZE, seed=9)

    def run(backward):
        one = lambda a, start, trial: eqx.combine(a, static).run(  # noqa: E731
            start, eqx.combine(a, static).project(trial), backward=backward
        )
        if outer == "members of trials":
            return jax.vmap(jax.vmap(one, in_axes=(None, 0, 0)))
        return jax.vmap(jax.vmap(one), in_axes=(None, 1, 1), out_axes=1)

    def gradient(backward):
        loss = lambda a, s, i: jnp.sum(weights * run(backward)(a, s, i))  # noqa: E731
        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(arrays, starts, inputs)

    together = gradient("by_hand")
    assert_trees_close(together, gradient("automatic"))
    for member in range(MEMBERS):
        own = jax.tree.map(itemgetter(member), (arrays, starts, inputs, weights))
        loss = lambda a, s, i, w: total(eqx.combine(a, static), s, i, w, "automatic")  # noqa: E731
        assert_trees_close(jax.tree.map(itemgetter(member), together[0]), jax.grad(loss)(*own))


def test_a_shared_start_is_broadcast_over_trials():
    gru, inputs, start = cell(), drawn(TRIALS, TIME, INPUTS), drawn(SIZE, seed=2)
    run = jax.vmap(lambda trial: gru.run(start, gru.project(trial)))
    one_by_one = jnp.stack([gru.run(start, gru.project(trial)) for trial in inputs])
    np.testing.assert_allclose(run(inputs), one_by_one, rtol=1e-5, atol=1e-6)
    shared = jax.grad(lambda s: jax.vmap(lambda trial: gru.run(s, gru.project(trial)))(inputs).sum())(start)
    alone = lambda s, trial: gru.run(s, gru.project(trial), backward="automatic").sum()  # noqa: E731
    single = sum(jax.grad(alone)(start, trial) for trial in inputs)
    np.testing.assert_allclose(shared, single, rtol=1e-4, atol=1e-5)


def equations(jaxpr):
    """All equations, those of inner programs (loops, calls) too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda v: hasattr(v, "jaxpr") or hasattr(v, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def products(backward):
    """Output shapes of the matrix products in the gradient over trials."""
    gru, arrays_of = cell(), eqx.filter
    inputs, starts = drawn(TRIALS, TIME, INPUTS), drawn(TRIALS, SIZE, seed=2)
    static = eqx.filter(gru, eqx.is_array, inverse=True)
    loss = lambda a: total(eqx.combine(a, static), starts, inputs, jnp.ones((TRIALS, TIME, SIZE)), backward)  # noqa: E731
    jaxpr = jax.make_jaxpr(jax.grad(loss))(arrays_of(gru, eqx.is_array)).jaxpr
    return [eqn.outvars[0].aval.shape for eqn in equations(jaxpr) if eqn.primitive.name == "dot_general"]


def test_weight_gradients_are_one_product_over_all_trials():
    shapes = products("by_hand")
    assert shapes.count((SIZE, 2 * SIZE)) == 1
    assert shapes.count((SIZE, SIZE)) == 1
    assert not [shape for shape in shapes if len(shape) == 3 and shape[0] == TRIALS and shape[1] == SIZE]


def test_hold_stops_the_state_exactly_and_passes_its_gradient():
    gru, inputs, start = cell(), drawn(TIME, INPUTS), drawn(SIZE, seed=2)
    is_held = jnp.array([True, False, False, True, True, False, True])
    run = lambda start, trial: gru.run(start, hold(gru.project(trial), is_held))  # noqa: E731
    states = run(start, inputs)
    np.testing.assert_array_equal(states[0], start)
    np.testing.assert_array_equal(states[4], states[2])
    np.testing.assert_array_equal(states[6], states[5])
    kept = gru.run(start, gru.project(inputs[~np.asarray(is_held)]))
    np.testing.assert_allclose(states[jnp.array([1, 2, 5])], kept, rtol=1e-6)
    gradient = jax.grad(lambda trials: jax.vmap(run, in_axes=(None, 0))(start, trials).sum())(inputs[None])[0]
    np.testing.assert_array_equal(gradient[is_held], 0)
    first = jax.grad(lambda starts: jax.vmap(run, in_axes=(0, None))(starts, inputs)[:, 0].sum())(
        start[None]
    )[0]
    np.testing.assert_array_equal(first, 1)


def test_a_state_at_the_limit_held_stays():
    gru = cell(limit=1.0)
    states = gru.run(jnp.full(SIZE, 1.0), hold(gru.project(drawn(TIME, INPUTS)), jnp.ones(TIME, bool)))
    np.testing.assert_array_equal(states, 1.0)
