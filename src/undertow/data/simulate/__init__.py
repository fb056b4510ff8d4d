"""Systems whose truth is known: trials with the rates, latents and inputs that made their spikes.

Each file is one published system, written as its equation of motion, its rates and one function that returns
trials; `spikes` turns rates into counts for all of them. This room imports `data.trials` and `vocabulary`.
Begin reading at `lorenz.py`.

    trials = SYSTEMS["lorenz"](neurons=40, seed=1)
"""

from collections.abc import Callable, Mapping

import xarray as xr

from undertow.data.simulate.chaotic_rnn import chaotic_rnn
from undertow.data.simulate.lorenz import lorenz

SYSTEMS: Mapping[str, Callable[..., xr.Dataset]] = {"lorenz": lorenz, "chaotic-rnn": chaotic_rnn}
