"""A fitted model inside a closed loop: one bin in, one estimate out, always in the same time.

::

    with fitted.stream() as stream:                 # compiles, warms up, and keeps Python's garbage collector away
        for counts in bins:                         # one value for each neuron; NaN = not observed
            estimate = stream.predict(counts)       # .rates in Hz, .factors, ...
        stream.on_done()                            # the trial ended: the next bin begins a new one

The names are those of FALCON's decoders. The estimate of a causal model is that of `fitted.infer(trials, samples=0)`, computed
from the bins so far; of other models it is that of a window of the last bins.
"""

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np

from undertow.models.base import Model, Streaming
from undertow.streaming.bins import PARTS, BinEstimate, Intake, StreamFacts
from undertow.streaming.decoder import LinearDecoder, decoded
from undertow.streaming.ensemble import together
from undertow.streaming.program import Program, estimate_shapes, in_hertz
from undertow.streaming.window import windowed
from undertow.vocabulary import UndertowError

WARM_UP_BINS = 20


class Stream:
    """One or several models, one bin at a time; several are an ensemble, whose rates are averaged.

    Nothing is compiled after the first `reset`, and no memory is kept from bin to bin but the state. As a context manager it also
    switches Python's garbage collector off inside, which would otherwise stop the loop for milliseconds now and then.

    Args:
        models: in the order of the run; factors and latents are the first one's.
        facts: of the recording they were fitted to.
        window: bins of a sliding window, for models that are not causal; it is estimated anew at each bin.
        delay: bins by which the estimate lags behind the newest, in a window.
        decoder: adds behaviour.

    Attributes:
        members: how many models there are.
        channels: names of the behaviour's channels; none without a decoder.

    Raises:
        UndertowError: a model that is not causal without a window, a window or delay that can't be, or a decoder that reads
            something else.
    """

    def __init__(
        self,
        models: Sequence[Model],
        facts: StreamFacts,
        *,
        window: int | None = None,
        delay: int = 0,
        decoder: LinearDecoder | None = None,
    ):
        streaming = in_hertz(together(_members(models, window, delay)), facts.bin_width)
        if decoder is not None:
            _check_decoder(decoder, streaming, facts)
            streaming = decoded(streaming, decoder)
        self._program = Program(streaming, facts)
        self._intake = Intake(facts)
        self._first = np.zeros((streaming.opening, self._intake.staged.size), np.float32)
        self._places = tuple(self._program.layout.get(name) for name in PARTS)
        self._nothing = np.full(self._program.width, np.nan, np.float32)
        self._nothing.flags.writeable = False
        self._longest, self._delay, self._bin_width = streaming.longest, delay, facts.bin_width
        self.members = len(models)
        self.channels = () if decoder is None else decoder.channels
        self._state: Any = None
        self._bins = 0
        self._is_ready = False

    @property
    def lag(self) -> float:
        """Seconds by which an estimate lags behind the end of its bin by construction, computing aside."""
        return self._delay * self._bin_width

    @property
    def opening(self) -> int:
        """Bins that must be there before the first estimate of a trial."""
        return len(self._first)

    @property
    def widths(self) -> dict[str, int]:
        """How many values each part of an estimate has, by its name."""
        return {name: place.stop - place.start for name, place in self._program.layout.items()}

    @property
    def traces(self) -> int:
        """How often anything was traced."""
        return self._program.traces

    def reset(self) -> None:
        """Begin a trial; at the first call also compile, and run some bins to warm up."""
        if not self._is_ready:
            self._program.compile()
            self._is_ready = True
            self._warm_up()
        self._begin()

    def predict(self, counts: Any, inputs: Any = None) -> BinEstimate:
        """Take a bin in, and give the estimate of it, or of the bin `delay` bins before.

        Before there are `opening` bins, and while the delay has not passed, all values are NaN.

        Args:
            counts: (neuron) in the model's order, of any real type; NaN = not observed. Held-out neurons are not looked at.
            inputs: (input) the known inputs, if the model was fitted with any.

        Raises:
            UndertowError: before `reset`, for a bin that can't be, or beyond the longest trial that the model can follow; the
                stream is as before.
        """
        self._check_ready()
        self._check_room()
        self._intake.take(counts, inputs)
        return self._advanced()

    def observe(self, counts: Any, inputs: Any = None) -> None:
        """Take a bin in and say nothing; arguments and errors are those of `predict`."""
        self.predict(counts, inputs)

    def skip(self, inputs: Any = None) -> BinEstimate:
        """The estimate after a bin that was lost: nothing was observed, and the model runs on. Missing inputs count as zero."""
        self._check_ready()
        self._check_room()
        self._intake.take_nothing(inputs)
        return self._advanced()

    def on_done(self, done: bool = True) -> None:  # noqa: FBT001, FBT002 - the call of FALCON
        """The trial ended, if `done`: the next bin begins another."""
        if done:
            self._check_ready()
            self._begin()

    def __enter__(self) -> "Stream":
        self.reset()
        self._had_collector, self._had_frozen = gc.isenabled(), gc.get_freeze_count() > 0
        gc.collect()
        gc.freeze()
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._had_frozen:
            gc.unfreeze()
        if self._had_collector:
            gc.enable()

    def _begin(self) -> None:
        self._bins = 0
        if not self.opening:
            self._state, _ = self._program.begin(self._first)

    def _warm_up(self) -> None:
        bins = self.opening + WARM_UP_BINS
        self._begin()
        for _ in range(bins if self._longest is None else min(bins, self._longest)):
            self.skip()

    def _advanced(self) -> BinEstimate:
        """The estimate after the staged bin."""
        self._bins += 1
        if self._bins > self.opening:
            self._state, vector = self._program.advance(self._state, self._intake.staged)
        else:
            vector = self._opened()
        parts = [None if place is None else vector[place] for place in self._places]
        return BinEstimate(*parts, self._bins - 1 - self._delay)

    def _opened(self) -> np.ndarray:
        """The vector of a bin of the opening: with the last of them the model begins."""
        self._first[self._bins - 1] = self._intake.staged
        if self._bins < self.opening:
            return self._nothing
        self._state, vector = self._program.begin(self._first)
        return vector

    def _check_ready(self) -> None:
        if not self._is_ready:
            raise UndertowError(
                "The stream has not begun; call reset() first, which also compiles the model, or use it in a 'with'."
            )

    def _check_room(self) -> None:
        if self._longest is not None and self._bins >= self._longest:
            raise UndertowError(
                f"The trial has {self._bins} bins already, the most that this model can follow; call on_done() to begin another, "
                f"or open the stream with window={self._longest} to go on for ever."
            )


def _members(models: Sequence[Model], window: int | None, delay: int) -> list[Streaming]:
    if any(model.needs_conditions for model in models):
        raise UndertowError(
            "This model estimates from each trial's condition, which a stream is not told; fit one that reads counts."
        )
    if window is not None:
        return [windowed(model, window, delay) for model in models]
    if delay:
        raise UndertowError(
            f"The stream's delay is {delay} bins, but without a window each estimate is of the newest bin; pass window= with it."
        )
    return [_causal(model.streaming()) for model in models]


def _causal(streaming: Streaming | str) -> Streaming:
    if isinstance(streaming, str):
        raise UndertowError(
            f"This model can't run one bin at a time: {streaming}, or pass window= to run it anew over the last bins."
        )
    return streaming


def _check_decoder(decoder: LinearDecoder, streaming: Streaming, facts: StreamFacts) -> None:
    shapes = estimate_shapes(streaming, facts)
    if decoder.reads not in shapes:
        raise UndertowError(
            f"The decoder reads {decoder.reads}, which this model does not have (it has {', '.join(shapes)}); fit it to these."
        )
    found = shapes[decoder.reads].size
    if decoder.features != found:
        what = "neurons" if decoder.reads == "rates" else "factors"
        raise UndertowError(
            f"The decoder reads {decoder.features} {what}, but the model has {found}; fit it with decoder() of the same run."
        )
