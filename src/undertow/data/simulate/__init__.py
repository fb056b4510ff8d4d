"""Systems whose truth is known: trials with the rates, latents and inputs that made their spikes.

A system is a file with the `law` of its motion, a row in `truth.LAWS` and a row here; `simulation` makes trials of any
law, seen by a `population`; `true_system` finds the law again behind trials. `lorenz` and `chaotic-rnn` are published
simulations of their own; `reaching` has behaviour, and factors of it that are known. `chaotic-rnn-sessions`, and any system
with a `Law` that is told how many `sessions`, give a dictionary of name to trials. `imaging` looks at the Lorenz system
through a two-photon microscope, with what `data` has for that. Else this room imports `data.trials`, `data.splits` and
`vocabulary`. Begin reading at `law.py` and `arneodo.py`.

    trials = SYSTEMS["rossler"](neurons=40, seed=1)
"""

from collections.abc import Callable, Mapping

from undertow.data.simulate.chaotic_rnn import chaotic_rnn
from undertow.data.simulate.chaotic_sessions import chaotic_rnn_sessions
from undertow.data.simulate.imaging import imaging
from undertow.data.simulate.lorenz import lorenz
from undertow.data.simulate.reaching import reaching
from undertow.data.simulate.simulation import Trials, simulation
from undertow.data.simulate.truth import LAWS

SYSTEMS: Mapping[str, Callable[..., Trials]] = {
    "lorenz": lorenz,
    "chaotic-rnn": chaotic_rnn,
    "chaotic-rnn-sessions": chaotic_rnn_sessions,
    "arneodo": simulation("arneodo", LAWS["arneodo"]),
    "rossler": simulation("rossler", LAWS["rossler"]),
    "lorenz63": simulation("lorenz63", LAWS["lorenz63"], points_per_period=100.0),
    "halvorsen": simulation("halvorsen", LAWS["halvorsen"]),
    "limit-cycle": simulation("limit-cycle", LAWS["limit-cycle"]),
    "ring": simulation("ring", LAWS["ring"], points_per_period=20.0),
    "flip-flop": simulation("flip-flop", LAWS["flip-flop"], points_per_period=15.0, bins=100, neurons=30),
    "linear": simulation("linear", LAWS["linear"]),
    "imaging": imaging,
    "reaching": reaching,
}
