"""Commands of models with codes: sample, traverse."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.data import store
from undertow.evaluation import generation, traversals
from undertow.experiments import cache, generating, pipeline, recipe
from undertow.experiments.commands.asked import Common, Walk
from undertow.experiments.commands.runs import of_session_in
from undertow.experiments.commands.sources import size_of
from undertow.experiments.fitted import Fitted
from undertow.experiments.opening_runs import open_session
from undertow.experiments.progress import Listener
from undertow.vocabulary import UndertowError


def run_sample(
    run: Path,
    out: Path,
    number: int,
    bins: int | None,
    settings: tuple[str, ...],
    session: str | None,
    common: Common,
    *,
    spikes: str,
    compares: bool,
) -> str:
    """Write trials drawn from a run's model; sentences about them, with their statistics beside those of the run's trials."""
    cache.switch_on()
    fitted, listener = open_session(run, session), Listener(is_quiet=common.quiet)
    listener.say(f"Drawing {number} trials ...")
    asked = {"bins": bins, "seed": common.seed or 0, "spikes": spikes, **recipe.with_settings({}, settings)}
    made = _noted(listener, generating.sample, fitted, number, **asked)
    store.save(made, out)
    said = [f"Drew {size_of(made)} from '{run}' and wrote them to {out}."]
    if compares:
        said += ["", _comparison_or_why_not(made, fitted)]
    return "\n".join(said)


def _comparison_or_why_not(made: xr.Dataset, fitted: Fitted) -> str:
    """The table, or a sentence: trials that were drawn and written are no failure where a recording leaves nothing to compare."""
    try:
        return comparison(made, pipeline.trials_of(fitted))
    except UndertowError as error:
        return f"They were not compared with the recording. {error}"


def comparison(made: xr.Dataset, recorded: xr.Dataset) -> str:
    """A table of the statistics of generated trials beside the floor that two halves of the recording set."""
    bins = min(made.sizes["time"], recorded.sizes["time"])
    found = generation.compare(
        made.counts.values[:, :bins],
        recorded.counts.values[:, :bins],
        bin_width=float(made.attrs["bin_width"]),
    )
    width = max(len(name) for name in found)
    rows = [
        f"{name.replace('_', ' '):<{width}}  {row.value:>10.4g}  {row.floor:>10.4g}  {row.ratio:>6.2f}"
        for name, row in found.items()
    ]
    head = f"{'generated against recorded':<{width}}  {'distance':>10}  {'halves':>10}  {'ratio':>6}"
    return "\n".join(
        [head, *rows, "", "A ratio near 1 is as near as two halves of the recording are to each other."]
    )


def run_traverse(
    run: Path,
    behaviour: str,
    out: Path,
    source: Path | None,
    walk: Walk,
    settings: tuple[str, ...],
    session: str | None,
    common: Common,
) -> str:
    """Write trials along which one behaviour changes; a table of what is read from their activity."""
    cache.switch_on()
    fitted, listener = open_session(run, session), Listener(is_quiet=common.quiet)
    trials = pipeline.trials_of(fitted) if source is None else of_session_in(source, fitted)
    asked = {
        "values": list(walk.values) or None,
        "steps": walk.steps,
        "keep": walk.keep,
        "sources": walk.sources,
        "own_noise": walk.own_noise,
        "seed": common.seed or 0,
        "spikes": walk.spikes,
        **recipe.with_settings({}, settings),
    }
    made = _noted(listener, generating.traverse, fitted, trials, behaviour, **asked)
    store.save(made, out)
    return "\n".join([f"Wrote {size_of(made)} to {out}.", "", walked(fitted, made, trials, behaviour)])


def walked(fitted: Fitted, made: xr.Dataset, trials: xr.Dataset, behaviour: str) -> str:
    """What the activity of a walk says of behaviour when it is encoded again, and how far the others moved with it."""
    again = generating.read_again(fitted, trials, made, behaviour)
    name = again.names[0]
    by_step = again.decoded.mean(1)
    asked = [float(made.asked.values[made.step.values == step].mean()) for step in range(len(by_step))]
    rows = [
        f"{value:>10.3g}  " + "  ".join(f"{column:>12.3g}" for column in row)
        for value, row in zip(asked, by_step, strict=True)
    ]
    head = f"{'asked':>10}  " + "  ".join(f"{column[:12]:>12}" for column in again.names)
    words = [
        f"Read again from the activity that was made, mean over {again.decoded.shape[1]} trials:",
        head,
        *rows,
    ]
    if len(again.names) > 1 and len(by_step) > 1:
        leak = traversals.leakage(again.decoded, target=0, spread=again.spread)
        words.append(
            f"Others moved by {leak.mean:.2f} of their standard deviations while '{name}' moved by one of its own."
        )
    return "\n".join(words)


def _noted(listener: Listener, make: Callable[..., xr.Dataset], *given: Any, **asked: Any) -> xr.Dataset:
    """What `make` makes; its warnings become notes for the reader."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        made = make(*given, **asked)
    for warning in caught:
        if warning.category is UserWarning:
            listener.say(f"Note: {warning.message}")
    return made
