"""Commands before any model: convert, subsample, describe."""

from collections.abc import Sequence
from pathlib import Path

from undertow.data import store
from undertow.data.describe import describe
from undertow.data.loading import load_each
from undertow.data.subsample import subsample
from undertow.experiments.commands.asked import Common, Cut
from undertow.experiments.commands.sources import assigned_sessions, notes_of, one_or_all, read_each, size_of
from undertow.vocabulary import UndertowError


def run_convert(sources: Sequence[Path], out: Path, cut: Cut, common: Common) -> str:
    """Write the trials of a source, or of several sessions to one file; sentences about them."""
    several = assigned_sessions(sources, cut, common)
    written = one_or_all(several)
    store.save(written, out)
    return "\n".join([*notes_of(several), f"Wrote {size_of(written)} to {out}."])


def run_subsample(
    source: Path, out: Path, keep: int, pattern: str, block: int, splits: tuple[str, ...], common: Common
) -> str:
    """Write trials of which few neurons are observed in each bin; sentences about them."""
    if source.exists() and source.suffix != ".nc":
        raise UndertowError(
            f"'{source}' is no file of trials; make one with 'undertow convert {source} trials.nc' and thin that one out."
        )
    asked = {"keep": keep, "pattern": pattern, "block": block, "splits": splits, "seed": common.seed or 0}
    several = {name: subsample(trials, **asked) for name, trials in load_each(source).items()}
    store.save(one_or_all(several), out)
    said = [trials.attrs["notes"].splitlines()[-1] for trials in several.values()]
    return "\n".join([*said, f"Wrote {size_of(one_or_all(several))} to {out}."])


def run_describe(source: Path, cut: Cut) -> str:
    """A page about a source, a section for each session."""
    return "\n\n\n".join(str(describe(trials)) for trials in read_each([source], cut).values())
