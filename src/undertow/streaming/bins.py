"""One bin on its way through a stream: what must be known of it, how it is checked on the way in, and what comes out."""

from typing import Any, NamedTuple

import numpy as np

from undertow.vocabulary import UndertowError

LARGEST = float(np.finfo(np.float32).max)
LOWEST = {"counts": 0.0, "non_negative": 0.0, "positive": float(np.nextafter(0, 1)), "real": -LARGEST}
"""The smallest value that can be observed, by the support of the observation model."""


class StreamFacts(NamedTuple):
    """What a stream must know of the recording that its models were fitted to.

    `neurons` are the ids in the models' order, `held_out` those that no model may see; `inputs` is the number of known inputs,
    `bin_width` is in seconds, and `support` says which values can be observed (see `components.observations`).
    """

    neurons: list
    held_out: list[bool]
    inputs: int
    bin_width: float
    support: str


class BinEstimate(NamedTuple):
    """What a stream says of one bin: read-only arrays that stay as they are, None for what the model does not have.

    Attributes:
        rates: (neuron) in Hz, held-out neurons included.
        factors: (factor).
        latents: (latent) the generator's state.
        inferred_inputs: (inferred_input).
        behaviour: (channel) in the units it was fitted to; None without a decoder.
        bin: which bin of the trial this is, counted from 0: those taken in so far - 1 - the stream's delay. Below 0 there is
            nothing to say yet, and all values are NaN.
    """

    rates: np.ndarray
    factors: np.ndarray | None
    latents: np.ndarray | None
    inferred_inputs: np.ndarray | None
    behaviour: np.ndarray | None
    bin: int


PARTS = BinEstimate._fields[:-1]
"""The names of everything that is estimated."""


class Intake:
    """The one place where a bin lies before the model takes it: `staged` (neuron, then input), float32, NaN = not observed."""

    def __init__(self, facts: StreamFacts):
        self.staged = np.zeros(len(facts.neurons) + facts.inputs, np.float32)
        self._values = np.zeros(
            len(facts.neurons)
        )  # float64, so that any number can be judged before it is cast
        self._held_out = np.flatnonzero(facts.held_out)
        self._facts = facts
        self._lowest = LOWEST[facts.support]

    def take(self, counts: Any, inputs: Any) -> None:
        """Put a bin into its place, held-out neurons as not observed.

        Raises:
            UndertowError: another number of neurons or inputs, no real numbers, values that cannot be observed, or all NaN.
        """
        neurons, values = len(self._values), self._values
        values[:] = _numbers(
            counts, neurons, "counts", "one for each neuron of the model, NaN where not observed"
        )
        if self._held_out.size:
            values[self._held_out] = np.nan
        if not (np.fmin.reduce(values) >= self._lowest and np.fmax.reduce(values) <= LARGEST):
            raise UndertowError(self._fault())
        self._take_inputs(inputs)
        self.staged[:neurons] = values

    def take_nothing(self, inputs: Any) -> None:
        """A bin in which nothing was observed; inputs that are not given count as zero."""
        neurons = len(self._values)
        self._take_inputs(np.zeros(self._facts.inputs) if inputs is None else inputs)
        self.staged[:neurons] = np.nan

    def _take_inputs(self, inputs: Any) -> None:
        expected = self._facts.inputs
        if inputs is None and not expected:
            return
        if inputs is None:
            raise UndertowError(
                f"This bin comes without inputs, but the model was fitted with {expected} known inputs; pass inputs=."
            )
        values = _numbers(inputs, expected, "inputs", "as many as the model was fitted with")
        if np.isinf(values).any():
            raise UndertowError(
                f"Input {np.isinf(values).argmax()} of this bin is infinite; pass finite numbers."
            )
        self.staged[len(self._values) :] = values

    def _fault(self) -> str:
        values, names = self._values, self._facts.neurons
        if np.isnan(values).all():
            held_out = f" ({self._held_out.size} are held out)" if self._held_out.size else ""
            return (
                f"Nothing was observed in this bin: all of its {len(values)} counts are NaN{held_out}; call skip() for a bin "
                "that was lost."
            )
        wrong = int(np.flatnonzero((values < self._lowest) | (np.abs(values) > LARGEST))[0])
        what = {0.0: "zero or more", -LARGEST: "finite"}.get(self._lowest, "above zero")
        return (
            f"Neuron {names[wrong]!r} holds {values[wrong]:g} in this bin, but what it observes must be {what} and finite; "
            "pass NaN where nothing was observed."
        )


def _numbers(given: Any, length: int, what: str, which: str) -> np.ndarray:
    """The given values as an array of real numbers of that length."""
    try:
        values = np.asarray(given)
    except ValueError as error:
        raise UndertowError(
            f"The {what} of this bin are no array ({error}); pass {length} numbers."
        ) from error
    if values.shape != (length,):
        raise UndertowError(
            f"The {what} of this bin have the shape {values.shape}, but the model takes ({length},): {which}."
        )
    if values.dtype.kind not in "fiu":
        raise UndertowError(
            f"The {what} of this bin are of the type {values.dtype}, but must be real numbers; convert them to float32."
        )
    return values
