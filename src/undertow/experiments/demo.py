"""The first five minutes: a simulated recording whose truth is known, and what LFADS makes of it."""

from pathlib import Path
from typing import Any

from undertow.data import store
from undertow.data.simulate import SYSTEMS
from undertow.experiments import pipeline, recipe
from undertow.experiments.progress import Listener


def demo(out: Path, *, seed: int, listener: Listener) -> dict[str, Any]:
    """Simulate Lorenz, fit LFADS with the recipe 'demo', infer, score, report; the scores."""
    listener.say("Simulating 29 neurons driven by a Lorenz system: 1560 trials of 50 bins of 20 ms ...")
    trials = SYSTEMS["lorenz"](seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    source = out / "trials.nc"
    store.save(trials, source)
    document = {**recipe.read("demo"), "seed": seed}
    return pipeline.run(recipe.from_document(document), trials, out, source=source, listener=listener)
