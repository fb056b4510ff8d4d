"""Whole searches: against single fits, against what their own journals say, and with members that break down."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_material import TRAIN, VALID, run, setup_of
from tiny_model import choices, corruption, same_bits

from undertow.search import loop as search_loop
from undertow.search.executor import InProcess
from undertow.search.lineage import history_of, lineage
from undertow.search.settings import Search
from undertow.search.timetable import cooling
from undertow.training import journal, loop
from undertow.vocabulary import UndertowError

SEARCH = Search(members=6, epochs=2, generations=4, cool_down=3, space={"tiny.width": (2, 3)})
SHORT = Search(members=4, epochs=2, generations=2, burn_in=1, cool_down=0, patience=9)


class Finished:
    """A search that has run, with its journals, what the listener heard and how often evolution was traced."""

    def __init__(self, setup, folder, **options):
        self.setup, self.heard = setup, []
        self.outcome = run(setup, folder, listen=self.heard.append, **options)
        self.metrics = journal.read(folder / "metrics.jsonl")
        self.generations = journal.read(folder / "generations.jsonl")

    def at(self, **wanted):
        (line,) = [
            line for line in self.metrics if all(line[name] == value for name, value in wanted.items())
        ]
        return line


def without_seconds(line):
    return {name: value for name, value in line.items() if name != "seconds"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    traced = []
    evolve = search_loop.evolve

    def counting(*arguments, **options):
        traced.append(1)
        return evolve(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_loop, "evolve", counting)
        finished = Finished(setup_of(SEARCH), tmp_path_factory.mktemp("searched"))
    finished.evolved = len(traced)
    return finished


def test_nothing_is_compiled_again_when_numbers_move_and_members_are_exchanged(searched):
    """Two groups: one trace of the epoch and one of evolution for each, over 4 generations and the cool-down."""
    assert searched.outcome.traces == (1, 1)
    assert searched.evolved == 2
    moved = {tuple(line["values"]["optimiser.learning_rate"]) for line in searched.generations}
    exchanged = [line for line in searched.generations if line["parents"] != list(range(6))]
    assert len(moved) > 2
    assert len(exchanged) > 2


def test_a_line_for_every_epoch_and_member_and_one_for_every_generation(searched):
    """Ramps of 2 epochs and 2 more, three times 2, and 3 to cool down."""
    assert [line["epoch"] for line in searched.generations] == [4, 6, 8, 10, 13]
    places = {(line["epoch"], line["member"]) for line in searched.metrics}
    assert places == {(epoch, member) for epoch in range(13) for member in range(6)}
    assert len(searched.metrics) == 13 * 6
    for line in searched.metrics:
        begun = [ended["generation"] for ended in searched.generations if ended["epoch"] <= line["epoch"]]
        assert line["generation"] == len(begun)


def test_a_generations_scores_are_the_last_epochs(searched):
    for ended in searched.generations:
        last = [searched.at(epoch=ended["epoch"] - 1, member=member) for member in range(6)]
        assert ended["scores"] == [line["selection_smoothed"] for line in last]
        assert ended["lost"] == []
    best = [min(ended["scores"]) for ended in searched.generations]
    np.testing.assert_array_equal(searched.outcome.state.best, np.float32(best))


def test_losers_go_on_with_a_better_members_numbers_perturbed(searched):
    """From one generation's line to the next: only within a group, only from better to worse, and by at most the step."""
    for before, after in zip(searched.generations[:4], searched.generations[1:], strict=True):
        for member, parent in enumerate(before["parents"]):
            assert before["groups"][member] == before["groups"][parent]
            rates = (values["values"]["optimiser.learning_rate"] for values in (before, after))
            old, new = next(rates)[parent], next(rates)[member]
            if member == parent:
                assert new == old
            else:
                assert before["scores"][parent] < before["scores"][member]
                assert new != old
                assert old / 1.2 * 0.999 <= new <= old * 1.2 * 1.001
    assert searched.generations[4]["parents"] == list(range(6)), "nobody is exchanged when all is done"


def test_learning_rates_cool_down_together(searched):
    levels = np.cumprod(cooling(3))
    for member in range(6):
        rates = [searched.at(epoch=10 + epoch, member=member)["learning_rate"] for epoch in range(3)]
        own = searched.generations[4]["values"]["optimiser.learning_rate"][member]
        np.testing.assert_allclose(rates, own * levels, rtol=1e-5)


def test_the_first_of_the_ranking_is_the_best_that_was_ever_written_down(searched):
    """The lowest smoothed score of all epochs after the ramps, with the numbers and the place of its line."""
    ranking = searched.outcome.ranking
    risen = [line for line in searched.metrics if line["epoch"] >= 2]
    best = min(risen, key=lambda line: line["selection_smoothed"])
    first = ranking[0]
    assert (first.score, first.epoch) == (best["selection_smoothed"], best["epoch"])
    assert (first.member, first.generation) == (best["member"], best["generation"])
    assert first.values == {key: best[key] for key in first.values}
    assert first.choices.model.width == searched.generations[0]["values"]["tiny.width"][first.member]
    assert first.model.down.bias.shape == (first.choices.model.width,)
    scores = [ranked.score for ranked in ranking]
    assert scores == sorted(scores)
    assert len({(ranked.score, ranked.epoch) for ranked in ranking}) == len(ranking)


def test_the_winners_history_has_every_epoch_once(searched):
    first = searched.outcome.ranking[0]
    ancestors = lineage(searched.generations, first.member, first.generation)
    history = history_of(searched.metrics, searched.generations, ancestors)
    assert [line["epoch"] for line in history] == list(range(searched.generations[first.generation]["epoch"]))
    widths = searched.generations[0]["values"]["tiny.width"]
    assert {widths[member] for member in ancestors} == {first.choices.model.width}


def test_the_listener_hears_every_epoch(searched):
    heard = searched.heard
    assert [progress.epoch for progress in heard] == list(range(1, 14))
    assert {progress.generations for progress in heard} == {4}
    for progress in heard:
        now = [
            searched.at(epoch=progress.epoch - 1, member=member)["selection_smoothed"] for member in range(6)
        ]
        assert progress.best == pytest.approx(min(now))
        assert progress.median == pytest.approx(np.median(now))
        assert progress.spread == pytest.approx(np.std(now), rel=1e-4)
    assert (heard[-1].seconds_left, heard[-1].lost) == (0.0, 0)


@pytest.mark.parametrize("stride", [2, 25])
def test_a_single_fit_as_a_population_of_one_has_its_bits(tmp_path, stride):
    """However its epochs are parted into generations."""
    single = Search(algorithm="single", members=1, epochs=stride)
    finished = Finished(setup_of(single, seed=4), tmp_path / "search")
    alone = loop.fit(
        choices(), (TRAIN, VALID), corruption(), tmp_path / "fit", seed=4, listen=lambda _: None
    ).state  # fmt: skip
    (states,) = finished.outcome.state.groups
    assert same_bits(jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, states), alone)
    assert same_bits(finished.outcome.ranking[0].model, alone.best_model)
    for ours, theirs in zip(finished.metrics, journal.read(tmp_path / "fit" / "metrics.jsonl"), strict=True):
        assert without_seconds(theirs) == {name: ours[name] for name in theirs if name != "seconds"}


def test_random_search_trains_each_draw_as_a_fit_of_its_own(tmp_path):
    """Nobody is exchanged; member 0's draw, given to a single fit as a recipe, gives the same bits."""
    finished = Finished(
        setup_of(Search(algorithm="random", members=3, epochs=4), seed=2), tmp_path / "search"
    )
    assert [line["epoch"] for line in finished.generations] == [4, 6]
    assert all(line["parents"] == [0, 1, 2] for line in finished.generations)
    assert finished.generations[0]["values"] == finished.generations[1]["values"]
    own = next(ranked for ranked in finished.outcome.ranking if ranked.member == 0)
    alone = loop.fit(
        own.choices, (TRAIN, VALID), corruption(), tmp_path / "fit", seed=2, listen=lambda _: None
    ).state  # fmt: skip
    assert same_bits(own.model, alone.best_model)


def test_a_search_that_gains_too_little_stops_and_cools_down(tmp_path):
    """A tolerance of 1000 % is never met: after patience + 1 generations."""
    search = Search(members=2, epochs=1, burn_in=0, generations=9, patience=2, tolerance=10.0, cool_down=1)
    finished = Finished(setup_of(search), tmp_path)
    assert [line["epoch"] for line in finished.generations] == [1, 2, 3, 4]
    assert int(finished.outcome.state.phase) == search_loop.DONE
    assert np.isnan(finished.outcome.state.best[4:]).all()


def breaking(members, change):
    """An executor under which some members' states are changed before their first epoch."""

    class Breaking(InProcess):
        def advance(self, states, ratios):
            if int(states[0].epoch[0]) == 0:
                states = tuple(change(group, jnp.asarray(members)) for group in states)
            yield from super().advance(states, ratios)

    return Breaking


def too_fast(states, members):
    numbers = states.hyperparameters
    rates = numbers.learning_rate.at[members].set(1e3)
    return states._replace(hyperparameters=numbers._replace(learning_rate=rates))


def far_away(states, members):
    """Rates e^8 times too high: a finite score of thousands of nats an entry."""
    bias = states.model.bias.at[members].add(8.0)
    return states._replace(model=eqx.tree_at(lambda model: model.bias, states.model, bias))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Finished(setup_of(SHORT), tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("change", [too_fast, far_away])
def test_a_member_that_breaks_down_costs_nothing_but_itself(tmp_path, sound, change):
    """It is replaced by a sound one and named; all others train exactly as if it were not there."""
    finished = Finished(setup_of(SHORT), tmp_path, executor_for=breaking([2], change))
    first, last = finished.generations
    assert (first["lost"], last["lost"]) == ([2], [])
    assert first["parents"][2] != 2
    assert first["parents"].count(2) == 0
    assert np.isnan(first["scores"][2]), "what is no finite number is stored as null"
    for epoch in range(3):
        for member in (0, 1, 3):
            ours, theirs = finished.at(epoch=epoch, member=member), sound.at(epoch=epoch, member=member)
            assert without_seconds(ours) == without_seconds(theirs)
    assert all(np.isfinite(score) for score in last["scores"])
    assert [progress.lost for progress in finished.heard] == [0, 0, 0, 1, 1]
    assert finished.outcome.ranking[0].member != 2 or finished.outcome.ranking[0].generation > 0


def test_if_every_member_breaks_down_one_sentence_says_so(tmp_path):
    broken = breaking([0, 1, 2, 3], too_fast)
    with pytest.raises(UndertowError, match="the training of every member broke down"):
        run(setup_of(SHORT), tmp_path, executor_for=broken)
