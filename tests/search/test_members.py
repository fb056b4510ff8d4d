"""One epoch of all members: one after another, side by side and in between, against single fits; and over several devices."""

import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_material import TRAIN, VALID, beginning, member_of, setup_of
from tiny_model import corruption, same_bits

from undertow.search.members import MemberEpochs, device_memory, over_members, probe
from undertow.search.settings import Search
from undertow.training.loop import epoch_of

MEMBERS = 6


@pytest.fixture(scope="module")
def setup():
    return setup_of(Search(members=MEMBERS))


def fresh(setup):
    groups, state = beginning(setup)
    return groups[0], state.groups[0]


def epochs_of(setup, group, **options):
    return MemberEpochs(group.choices, setup.corruption, setup.data, **options)


def advanced(setup, *, epochs=2, **options):
    group, states = fresh(setup)
    members = epochs_of(setup, group, **options)
    for _ in range(epochs):
        states, metrics = members.advance(states)
    return members, states, metrics


@pytest.fixture(scope="module")
def one_after_another(setup):
    return advanced(setup, at_once=1)


def test_one_after_another_is_every_member_alone_to_the_bit(setup, one_after_another):
    """Each member through the compiled epoch of a single fit."""
    _, together, metrics = one_after_another
    group, states = fresh(setup)
    epoch = epoch_of(group.choices, setup.corruption, TRAIN)
    train, valid = (jax.tree.map(jnp.asarray, arrays) for arrays in setup.data)
    single = eqx.filter_jit(epoch)
    for member in range(MEMBERS):
        own = jax.tree.map(lambda leaf, member=member: leaf[member] if eqx.is_array(leaf) else leaf, states)
        for _ in range(2):
            own, numbers = single(own, train, valid)
        alone = member_of(jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, own), 0)
        for name, value in member_of(together, member).items():
            np.testing.assert_array_equal(value, alone[name], err_msg=f"{member}{name}")
        assert {name: float(value) for name, value in numbers.items()} == pytest.approx(
            {name: float(values[member]) for name, values in metrics.items()}, abs=0, nan_ok=True
        )


@pytest.mark.parametrize(("asked", "taken"), [(99, 6), (5, 3)])
def test_side_by_side_is_the_same_but_for_rounding(setup, one_after_another, asked, taken):
    """What is asked for becomes the largest divisor of the members: 5 of 6 become 3."""
    members, states, _ = advanced(setup, at_once=asked)
    assert (members.at_once, members.traces) == (taken, 1)
    for member in range(MEMBERS):
        expected = member_of(one_after_another[1], member)
        for name, value in member_of(states, member).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_short_memory_runs_fewer_side_by_side_to_the_same_result(setup, one_after_another):
    """At 1 byte only one after another is left, and nothing is said to be impossible."""
    members, states, _ = advanced(setup, at_once=6, memory=1)
    assert members.at_once == 1
    assert same_bits(states, one_after_another[1])


def test_over_members_of_any_count():
    """Against a loop in Python, with an array of size zero among them."""
    for count, at_once in [(1, 1), (6, 1), (6, 2), (6, 3), (6, 6), (15, 5), (7, 7)]:
        members = {"a": jnp.arange(count * 2.0).reshape(count, 2), "none": jnp.zeros((count, 0))}
        one = lambda own: {"sum": own["a"].sum(), "none": own["none"] + 1.0, "a": own["a"] * 2}  # noqa: E731
        mapped = over_members(one, members, at_once=at_once)
        np.testing.assert_array_equal(mapped["sum"], [4 * member + 1 for member in range(count)])
        np.testing.assert_array_equal(mapped["a"], 2 * np.asarray(members["a"]))
        assert mapped["none"].shape == (count, 0)


def test_a_probe_measures_both_ways_and_leaves_the_members_as_they_are(setup):
    group, states = fresh(setup)
    before = jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, states)
    speed = probe(group.choices, corruption(), TRAIN, states)
    assert set(speed.seconds) == {1, MEMBERS}
    assert all(0 < seconds < 5 for seconds in speed.seconds.values())
    assert speed.update == min(speed.seconds.values())
    assert speed.at_once == (MEMBERS if speed.seconds[MEMBERS] * 1.1 < speed.seconds[1] else 1)
    assert same_bits(states, before)


def test_a_probe_of_one_member(setup):
    group, states = fresh(setup)
    alone = jax.tree.map(lambda leaf: leaf[:1] if eqx.is_array(leaf) else leaf, states)
    assert probe(group.choices, corruption(), TRAIN, alone).at_once == 1


def test_there_is_memory():
    assert 2**20 < device_memory() < 2**50


ON_FOUR_DEVICES = """
import sys
sys.path[:0] = sys.argv[2:]
import jax
from pathlib import Path
from search_material import beginning, setup_of
from undertow.search.members import MemberEpochs
from undertow.search.settings import Search
from undertow.training import checkpoint

assert jax.local_device_count() == 4
setup = setup_of(Search(members=6))
(group,), state = beginning(setup)
members = MemberEpochs(group.choices, setup.corruption, setup.data, at_once=1)
states, metrics = state.groups[0], None
for _ in range(2):
    states, metrics = members.advance(states)
checkpoint.write(Path(sys.argv[1]), states, facts={"devices": str(members.devices), "traces": str(members.traces)})
"""


def test_sharing_out_over_devices_changes_nothing(tmp_path, one_after_another):
    """Six members on four devices: three hold two each. Host devices stand in for several of one machine."""
    from undertow.training import checkpoint

    flags = "--xla_force_host_platform_device_count=4"
    rooms = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "training")]
    child = subprocess.run(
        [sys.executable, "-c", ON_FOUR_DEVICES, str(tmp_path / "states"), *rooms],
        capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    states, facts = checkpoint.read(tmp_path / "states", one_after_another[1])
    assert facts == {"devices": "3", "traces": "1"}
    assert same_bits(states, one_after_another[1])


def test_validation_trials_may_be_fewer_than_a_batch(setup):
    """An odd number of trials and members, compiled in one."""
    few = setup_of(Search(members=3), data=(TRAIN, jax.tree.map(lambda array: array[:2], VALID)))
    _, states, metrics = advanced(few, epochs=1, at_once=3)
    assert np.isfinite(metrics["selection"]).all()
    assert states.epoch.tolist() == [1, 1, 1]
