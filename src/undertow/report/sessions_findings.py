"""What is suspicious about a model that several sessions share, in plain words, each with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from undertow.report import findings, history, score_words
from undertow.report.material import Finding

TOLD = ("co_smoothing", "rate_r2", "bits_per_spike", "decoding_r2")
"""Scores by which sessions are compared: the first that was computed."""
_BELOW = 0.8  # of the median over the other sessions: a session below that stands out
_FEW = 0.5  # of the median over the other sessions, in trials or neurons
_GAP = 0.5  # validation trials should have this share of the training trials' bits per spike
_LEAST = 0.02  # bits per spike in training trials from which on the gap is worth a word


@dataclass(frozen=True)
class Compared:
    """One score of all sessions: its `key`, the `split` it was computed on, and its values by session.

    `others` are those of the yardstick, None where it has none. Sessions without this score are left out.
    """

    key: str
    split: str
    values: Mapping[str, float]
    others: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """The score in words."""
        return score_words.EXPLAINED[self.key][0]

    @property
    def where(self) -> str:
        """The split in words."""
        return score_words.SPLIT_WORDS.get(self.split, self.split)


def compared(scores: Mapping) -> Compared:
    """The score by which these sessions are compared; without values where none was computed."""
    split = score_words.main_split(scores)
    for key in TOLD:
        values, others = (by_session(scores, split, side, key) for side in ("model", "yardstick"))
        known = {name: value for name, value in values.items() if value is not None}
        if known:
            return Compared(key, split, known, {name: others[name] for name in known})
    return Compared(TOLD[0], split, {}, {})


def by_session(scores: Mapping, split: str, side: str, key: str) -> dict[str, float | None]:
    """A score of every session; `side` is "model" or "yardstick"."""
    return {name: score_words.value(of, split, side, key) for name, of in scores["sessions"].items()}


def find(
    scores: Mapping,
    sizes: Mapping[str, Mapping[str, int]],
    lines: history.History,
    *,
    is_evolved: bool = False,
) -> list[Finding]:
    """The findings for a model of several sessions, gravest first; empty when nothing is suspicious.

    Args:
        scores: as in scores.json of a run of several sessions.
        sizes: by session its numbers of "trial" and "neuron".
        lines: the training history, one dictionary an epoch; may be empty.
        is_evolved: whether a population was trained, of which these lines are the winner's.
    """
    told = compared(scores)
    questions = (finding for question in _QUESTIONS for finding in question(told, scores, sizes))
    return [*questions, *findings.of_training(lines, is_evolved=is_evolved)]


def _behind_smoothing(told: Compared, _: Mapping, __: Mapping) -> Iterator[Finding]:
    behind = {
        name: (value, told.others[name])
        for name, value in told.values.items()
        if told.others[name] is not None and value < told.others[name]
    }
    if behind and told.key != score_words.FLATTERING:
        listed = "; ".join(
            f"{name}: {score_words.written(value)} against {score_words.written(other)}"
            for name, (value, other) in behind.items()
        )
        yield Finding(
            f"Smoothing does better in {_every(behind, told.values)}",
            f"{told.name} on {told.where} is below that of Gaussian smoothing with Poisson regression of that session alone "
            f"({listed}).",
            "Look at the pages of these sessions: they may have few trials or neurons, or another alignment than the others. If "
            "it is so in all, train longer or search over hyperparameters first.",
        )


def _far_below_the_others(told: Compared, _: Mapping, sizes: Mapping) -> Iterator[Finding]:
    for name, value in told.values.items():
        rest = [other for session, other in told.values.items() if session != name]
        if not rest or value >= _BELOW * median(rest) or median(rest) <= 0:
            continue
        smoothing = told.others[name]
        beside = (
            ""
            if smoothing is None
            else f" Smoothing of this session alone has {score_words.written(smoothing)}, which is "
            f"{score_words.written(abs(value - smoothing))} {'lower' if value >= smoothing else 'higher'}."
        )
        few = [words for words in (_fewness(name, sizes, what) for what in ("trial", "neuron")) if words]
        yield Finding(
            f"{name} stands apart",
            f"Its {_lower(told.name)} on {told.where} is {score_words.written(value)}, that of the other sessions "
            f"{score_words.written(median(rest))} (median), {score_words.written(median(rest) - value)} more.{beside}",
            f"It has {' and '.join(few)}, which may be why; more of them help most."
            if few
            else "Check that the same event aligns all sessions and that conditions mean the same, or fit it by itself.",
        )


def _few_trials(_: Compared, __: Mapping, sizes: Mapping) -> Iterator[Finding]:
    few = {name: words for name in sizes if (words := _fewness(name, sizes, "trial"))}
    if few:
        yield Finding(
            f"Few trials: {', '.join(few)}",
            "; ".join(f"{name} has {words}" for name, words in few.items())
            + ". Batches take every trial equally often, so such a session has little say in what is shared, and its scores are "
            "uncertain.",
            "Trust its own read-in and read-out less; if it matters most, let it join at the end (--from RUN --new-session).",
        )


def _learned_by_heart(_: Compared, scores: Mapping, __: Mapping) -> Iterator[Finding]:
    key = "bits_per_spike"
    train, valid = (by_session(scores, split, "model", key) for split in ("train", "valid"))
    gaps = {
        name: (before, valid[name])
        for name, before in train.items()
        if before is not None and valid[name] is not None and before > _LEAST and valid[name] < _GAP * before
    }
    if gaps:
        listed = "; ".join(
            f"{name}: {score_words.written(before)} on training, {score_words.written(after)} on validation trials"
            for name, (before, after) in gaps.items()
        )
        yield Finding(
            f"Training trials are explained much better than new ones in {_every(gaps, train)}",
            f"Bits per spike: {listed}.",
            "The model has learned single spikes by heart: use coordinated dropout, a narrower read-in or more trials.",
        )


def _fewness(name: str, sizes: Mapping, what: str) -> str:
    """In words, that a session has far fewer of something than the others; empty where it has not."""
    others = [size[what] for session, size in sizes.items() if session != name]
    if not others or sizes[name][what] > _FEW * median(others):
        return ""
    return f"{sizes[name][what]:,} {what}s where the others have {median(others):,.0f} (median)"


def _every(chosen: Mapping, among: Mapping) -> str:
    return f"all {len(chosen)} sessions" if len(chosen) == len(among) > 1 else ", ".join(chosen)


def _lower(name: str) -> str:
    return name if name.startswith("R²") else name[0].lower() + name[1:]


_QUESTIONS: tuple[Callable[[Compared, Mapping, Mapping], Iterator[Finding]], ...] = (
    _behind_smoothing,
    _far_below_the_others,
    _few_trials,
    _learned_by_heart,
)
