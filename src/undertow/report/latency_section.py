"""The report's section on latency: whether the model keeps up with a closed loop."""

from __future__ import annotations

from collections.abc import Mapping

from undertow.report import figures
from undertow.report.material import Material, Picture, Section, Table

_CAPTION = (
    "Numbers of bins by latency, both on logarithmic axes; dotted: median and 99th percentile, dashed: the bin width. All bars "
    "should lie well left of the dashed line. Single bars far to the right are the computer's other work: pin the loop to a core "
    "of its own, and measure on the machine that will run it."
)


def section(material: Material) -> Section | None:
    """The section "Latency"; None where nothing was streamed."""
    latency = material.latency
    if latency is None:
        return None
    picture = Picture(
        "latency",
        figures.latency_figure(latency),
        _CAPTION,
        "Histogram of the latency of a bin, with the bin width.",
    )
    return Section("latency", "Latency", _introduction(latency), (picture,), tables=(_table(latency),))


def _introduction(latency: Mapping) -> str:
    pace = "in real time" if latency["waits"] else "as fast as possible, without waiting for each bin's end"
    window = (
        "one bin at a time"
        if latency["window"] is None
        else f"a window of the last {latency['window']} bins, estimated anew at every bin"
    )
    lag = (
        f" An estimate lags behind its bin by {latency['lag']:g} ms by construction."
        if latency["lag"]
        else ""
    )
    return (
        f"A recording was replayed through the model {pace} ({latency['when']}, {latency['device']}): {window}. The latency is "
        f"the time from handing over a bin's counts to the estimate in memory, transfers included.{lag}"
    )


def _table(latency: Mapping) -> Table:
    heads = ("", "Bins", "Median", "p99", "p99.9", "Worst", "Bin width", "Missed deadlines")
    times = (f"{latency[name]:.3g} ms" for name in ("median", "p99", "p99.9", "worst"))
    missed = f"{latency['missed']:,} ({latency['missed'] / latency['bins']:.2%})"
    row = ("A streamed bin", f"{latency['bins']:,}", *times, f"{latency['bin_width']:g} ms", missed)
    return Table("A deadline is missed where a bin takes longer than it lasts.", heads, (row,))
