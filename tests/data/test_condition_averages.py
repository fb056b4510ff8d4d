"""Sessions meet in the components of their condition averages, whatever their neurons; what can't be aligned is refused."""

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import subspace_angles
from scipy.optimize import minimize

import undertow as ut
from undertow.data import condition_averages as averages
from undertow.data.condition_averages import align_to, alignment, condition_averages
from undertow.data.sessions import sessions
from undertow.vocabulary import UndertowError

K, BINS, CONDITIONS, REPEATS = 2, 30, 12, 32


def latents():
    """(condition, time, 2): ellipses of several sizes that begin in several places, the same in all sessions."""
    generator = np.random.default_rng(0)
    phase, size = generator.uniform(0, 2 * np.pi, (CONDITIONS, 1)), generator.uniform(0.4, 1, (CONDITIONS, 1))
    angle = phase + 2 * np.pi * np.arange(BINS) / BINS
    return np.stack([size * np.cos(angle), 0.6 * size * np.sin(angle)], axis=2)


def recorded(seed, neurons=25, bins=BINS, gain=1.0, **more):
    """A session of one system, with its read-out in `weights` on `neuron`."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(K, neurons)) * 0.7
    rates = gain * np.exp(latents()[:, :bins] @ weights)
    condition = np.repeat(np.arange(CONDITIONS), REPEATS)
    counts = generator.poisson(rates[condition] * 1.0).astype(np.float32)
    split = np.where(np.arange(len(condition)) % 4 == 3, "valid", "train")
    columns = {"first": weights[0], "second": weights[1]}
    more = {"condition": condition, **more}
    return ut.trials(counts, bin_width=0.01, split=split, neuron_columns=columns, session=str(seed), **more)


@pytest.fixture(scope="module")
def several():
    return sessions([recorded(seed, neurons) for seed, neurons in ((1, 25), (2, 15), (3, 20))])


@pytest.fixture(scope="module")
def shared(several):
    return alignment(several, components=K)


def r2(estimate, truth):
    return 1 - ((estimate - truth) ** 2).sum((0, 1)) / ((truth - truth.mean((0, 1))) ** 2).sum((0, 1))


def seen_by(start, trials):
    """(condition, time, component): the components as a session's validation trials show them, on average."""
    valid = trials.isel(trial=trials.split.values == "valid")
    valid = valid.assign_coords(split=("trial", ["train"] * valid.sizes["trial"]))
    return (condition_averages(valid, range(CONDITIONS)) - start.mean) @ start.read_in


def test_components_span_the_latents_that_made_all_sessions(shared):
    flat = shared.components.reshape(-1, K)
    truth = latents().reshape(-1, K)
    assert np.rad2deg(subspace_angles(flat, truth - truth.mean(0))).max() < 10
    assert shared.components.shape == (CONDITIONS, BINS, K)
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(flat.std(0), shared.deviation)
    assert shared.deviation[0] == 1 and 0.5 < shared.explained.sum() < 1
    assert shared.conditions == tuple(range(CONDITIONS))


def test_every_session_sees_the_components_in_trials_that_it_was_not_fitted_to(several, shared):
    for name, start in shared.starts.items():
        assert r2(seen_by(start, several[name]), shared.components).min() > 0.9


def test_the_way_back_gives_the_rates(several, shared):
    for name, start in shared.starts.items():
        unit = shared.components / shared.deviation
        expected = np.exp(unit @ start.readout + start.bias)
        first = several[name].isel(trial=slice(None, None, REPEATS))
        truth = np.exp(latents() @ np.stack([first["first"], first["second"]]))
        assert np.median(r2(expected, truth)) > 0.9


def test_another_session_finds_its_way_to_components_that_are_known(several, shared):
    other = recorded(9, 30)
    start = align_to(shared, other)
    assert r2(seen_by(start, other), shared.components).min() > 0.9
    again = align_to(shared, several["2"])
    for ours, theirs in zip(again, shared.starts["2"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_another_session_may_have_fewer_conditions_and_bins(shared):
    other = recorded(9, 30, bins=20)
    other = other.isel(trial=other.condition.values % 3 > 0)
    start = align_to(shared, other)
    valid = recorded(9, 30)
    assert r2(seen_by(start, valid)[:, :20], shared.components[:, :20]).min() > 0.8


def test_the_order_of_neurons_and_the_gain_of_a_session_do_not_matter(several, shared):
    order = np.random.default_rng(1).permutation(15)
    louder = several["2"].isel(neuron=order)
    changed = {**several, "2": louder.assign(counts=8 * louder.counts)}
    moved = alignment(changed, components=K)
    np.testing.assert_allclose(moved.components, shared.components, atol=1e-6)
    ours, theirs = moved.starts["2"], shared.starts["2"]
    np.testing.assert_allclose(8 * ours.read_in, theirs.read_in[order], atol=1e-6)
    np.testing.assert_allclose(ours.mean, 8 * theirs.mean[order], rtol=1e-5)
    np.testing.assert_allclose(ours.readout, theirs.readout[:, order], atol=1e-4)
    np.testing.assert_allclose(ours.bias, theirs.bias[order] + np.log(8), atol=1e-4)


def test_what_was_not_observed_is_not_counted(several, shared):
    generator = np.random.default_rng(4)
    counts = several["1"].counts.values.copy()
    counts[generator.random(counts.shape) < 0.3] = np.nan
    counts[several["1"].condition.values == 3, :, 5] = np.nan  # a neuron that was lost in a whole condition
    counts[:, :, 7] = np.nan  # and one that was never seen
    sparse = several["1"].assign(counts=(several["1"].counts.dims, counts))
    found = alignment({**several, "1": sparse}, components=K)
    assert all(np.isfinite(array).all() for array in found.starts["1"])
    assert (found.starts["1"].read_in[7] == 0).all() and (found.starts["1"].readout[:, 7] == 0).all()
    assert r2(found.components, shared.components).min() > 0.97
    assert r2(seen_by(found.starts["1"], several["1"]), shared.components).min() > 0.85


def test_neither_validation_trials_nor_held_out_neurons_nor_forecast_bins_are_looked_at(several, shared):
    trials = several["3"]
    hidden = {"held_out": np.arange(20) >= 16}
    flagged = {
        name: each.assign_coords(forward=("time", np.arange(BINS) >= 27)) for name, each in several.items()
    }
    flagged["3"] = flagged["3"].assign_coords(held_out=("neuron", hidden["held_out"]))
    found = alignment(flagged, components=K)
    counts = trials.counts.values.copy()
    counts[:, 27:] = 100
    counts[trials.split.values == "valid"] = 100
    again = alignment(
        {**flagged, "3": flagged["3"].assign(counts=(trials.counts.dims, counts))},
        components=K,
        smoothing=0.0,
    )
    plain = alignment(flagged, components=K, smoothing=0.0)
    np.testing.assert_array_equal(again.components, plain.components)
    assert found.components.shape == (CONDITIONS, 27, K) and found.time[-1] < 0.27
    assert (found.starts["3"].read_in[16:] == 0).all() and (found.starts["3"].read_in[:16] != 0).all()
    assert np.abs(found.starts["3"].readout[:, 16:]).min(axis=1).max() > 0.01
    doubled = trials.counts.values.copy()
    doubled[:, :, 16:] = np.random.default_rng(0).poisson(5, doubled[:, :, 16:].shape)
    other = alignment(
        {**flagged, "3": flagged["3"].assign(counts=(trials.counts.dims, doubled))}, components=K
    )
    np.testing.assert_array_equal(other.components, found.components)


def test_averages_are_means_of_the_training_trials_and_smooth(several):
    trials = several["1"]
    plain = condition_averages(trials, [4, 2], smoothing=0.0)
    chosen = trials.isel(trial=(trials.condition.values == 2) & (trials.split.values == "train"))
    np.testing.assert_allclose(plain[1], chosen.counts.mean("trial"), rtol=1e-6)
    smooth = condition_averages(trials, [4, 2], smoothing=0.02)
    weights = np.exp(-0.5 * ((np.arange(BINS) - 15) / 2.0) ** 2) * (np.abs(np.arange(BINS) - 15) <= 8)
    np.testing.assert_allclose(smooth[0, 15], weights @ plain[0] / weights.sum(), rtol=1e-6)


def test_the_way_back_has_the_highest_penalised_likelihood():
    generator = np.random.default_rng(3)
    scores = generator.normal(size=(200, 2)) * [1.0, 0.3]
    counts = generator.poisson(np.exp(scores @ [[0.5], [-0.3]] - 1.0)).astype(float)
    readout, bias = averages._readout(scores, counts)

    def loss(weights):
        log = scores @ weights[:2] + weights[2]
        penalty = averages.SHRINKAGE * counts.sum() * (weights[:2] ** 2).sum() / 2
        return (np.exp(log) - counts[:, 0] * log).sum() + penalty

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose([*readout[:, 0], bias[0]], best, atol=1e-4)


def test_cross_validation_keeps_what_predicts_and_shrinks_what_does_not(several):
    found = alignment(several, components=K, ridge=None)
    for name, start in found.starts.items():
        assert r2(seen_by(start, several[name]), found.components).min() > 0.9
    noise = np.random.default_rng(0).normal(size=(120, 40))
    assert (
        averages._chosen_ridge(
            noise,
            noise[:, :1] * 0 + np.random.default_rng(1).normal(size=(120, 1)),
            np.repeat(np.arange(12), 10),
        )
        > 1e2
    )


def test_what_can_not_be_aligned_is_refused(several, shared):
    one, two = several["1"], several["2"]
    with pytest.raises(UndertowError, match="'2' has no column 'condition' of conditions"):
        alignment({"1": one, "2": two.drop_vars("condition")}, components=K)
    renamed = two.assign_coords(condition=("trial", [f"c{number}" for number in two.condition.values]))
    with pytest.raises(UndertowError, match=r"'1': 0, 1, 2, 3 and 8 more; '2': 'c0', 'c1', 'c10', 'c11' and"):
        alignment({"1": one, "2": renamed}, components=K)
    with pytest.raises(UndertowError, match=r"41 components can't be found in 360 bins .* 40 neurons"):
        alignment({"1": one, "2": two}, components=41)
    still = {name: each.assign(counts=each.counts * 0 + 1) for name, each in several.items()}
    with pytest.raises(UndertowError, match="vary in 0 directions"):
        alignment(still, components=K)
    with pytest.raises(UndertowError, match=r"--bin-width 0.01"):
        align_to(shared, ut.trials(np.ones((4, 5, 2)), bin_width=0.02, condition=[0, 1, 2, 3]))
    with pytest.raises(UndertowError, match="none of the bins"):
        align_to(shared, recorded(9, start=5.0))
    with pytest.raises(UndertowError, match="'the components': 0, 1, 2, 3 and 8 more"):
        align_to(shared, renamed)


def test_sessions_of_other_lengths_share_the_bins_of_the_shortest():
    several = sessions([recorded(1), recorded(2, bins=20)])
    assert alignment(several, components=K).components.shape == (CONDITIONS, 20, K)


def test_bins_after_the_end_of_most_trials_are_left_out(several):
    trials = several["1"]
    length = np.where(np.arange(trials.sizes["trial"]) % 3 == 0, BINS, 12)
    ended = np.arange(BINS) < length[:, None]
    short = trials.assign(counts=trials.counts.where(xr.DataArray(ended, dims=("trial", "time"))))
    found = alignment({**several, "1": short}, components=K)
    np.testing.assert_allclose(found.time, trials.time[:12])
    np.testing.assert_array_equal(align_to(found, several["2"]).read_in.shape, (15, K))


def test_halves_of_a_real_recording_meet(recordings):
    """Two sessions made of one: other trials, other neurons, and trials of other lengths."""
    trials = ut.split(
        ut.load(
            recordings / "stabilizedbci_20160325.mat",
            bin_width=0.045,
            variable="trialData.binCounts",
            condition="tgtPos",
            neurons="goodElectrodes",
        ),
        valid=0.25,
        within="condition",
    )
    halves = {
        "first": trials.isel(trial=slice(0, 626), neuron=slice(0, None, 2)),
        "second": trials.isel(trial=slice(626, None), neuron=slice(1, None, 2)),
    }
    shared = alignment(sessions(halves), components=3)
    bins = np.isin(trials.time.values, shared.time)
    seen = []
    for name, start in shared.starts.items():
        valid = ut.select(halves[name], "valid")
        valid = valid.assign_coords(split=("trial", ["train"] * valid.sizes["trial"]))
        averages_of_valid = condition_averages(valid, shared.conditions)[:, bins]
        seen.append((averages_of_valid - start.mean) @ start.read_in)
    correlation = [np.corrcoef(seen[0][..., k].ravel(), seen[1][..., k].ravel())[0, 1] for k in range(3)]
    assert min(correlation) > 0.8
