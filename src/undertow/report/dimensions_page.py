"""The page "How many latents?": curves against size, what they recommend and why, in the report's style."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from undertow.files import replacing
from undertow.report import page, summary
from undertow.report.dimensions_figure import dimensions_figure
from undertow.report.material import Finding, Picture, Section, Table

_SCORES = {
    "rate_r2": "R² of the inferred rates with the true ones, the mean over neurons",
    "co_smoothing": "bits per spike of the neurons that no encoder saw",
    "hidden_entries": "bits per spike, over the mean rates in training, of entries that were hidden from the encoder",
}
_INTRODUCTION = (
    "Each size was fitted on its own and scored on validation trials. The score ({score}) says how well the rates fit: it "
    "rises until the latents suffice, and does not fall when there are too many. Cycle consistency says how much of the "
    "latents can be read back from the rates (only what moves them by more than 1 % of their variance counts): it falls "
    "when latents move in ways that no rate shows, and then neither trajectories nor fixed points mean much. So the "
    "smallest size is taken that scores as well as the best, up to one standard error over {over}, among sizes whose cycle "
    "consistency is within {margin:g} of the largest."
)
_TRUTH = (
    " These trials are simulated: the last curve says how much of the inferred latents the true ones explain. It took no "
    "part in the recommendation."
)
_CAPTION = (
    "Bars: standard error of the difference to the best score (dotted, left); a size scores as well as the best where its "
    "bar reaches the dotted line. Cycle consistency must reach the dotted line of its panel: sizes with hollow marks do "
    "not. Look for the bend where the score stops rising and before cycle consistency falls."
)


def write(path: str | os.PathLike, told: Mapping) -> None:
    """Write the page to `path` (HTML) from what `dimensions.json` holds; an old page is replaced only by a complete one.

    Raises:
        UndertowError: the page can't be written.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_text(render(told), encoding="utf-8")


def render(told: Mapping) -> str:
    """The page's text."""
    return page.filled(
        title=f"How many latents? {summary.model_name(told)} on {told['session']}",
        paragraph=told["why"]
        if told["recommended"] is None
        else f"Take {told['recommended']}. {told['why']}",
        findings=list(findings(told)),
        sections=[section(told)],
        recipe=list(page.flat(told["recipe"])),
        provenance=list(page.flat(told["provenance"])),
    )


def findings(told: Mapping) -> Iterator[Finding]:
    """What to do with the answer, and what makes it uncertain."""
    if told["recommended"] is None:
        yield Finding(
            "No size is recommended",
            told["why"],
            "look at the learning curves: 'undertow report' on one of the runs draws them.",
        )
        return
    chosen = next(row for row in told["sizes"] if row["size"] == told["recommended"])
    yield Finding(
        f"{told['field']}={told['recommended']} is recommended",
        _comparison(told, chosen),
        f"the folder {chosen['fits'][0]['folder']} holds a run like any other: 'undertow report' on it draws its latents.",
    )
    sizes = [row["size"] for row in told["sizes"]]
    if told["best"] == sizes[-1]:
        yield Finding(
            "The largest size scores best",
            f"Of {_listed(sizes)} the largest still has the best score, so larger ones may do better.",
            "repeat the command with larger sizes; what is fitted already is not fitted again.",
        )
    if told["recommended"] == sizes[0]:
        yield Finding(
            "The smallest size is recommended",
            f"Of {_listed(sizes)} the smallest scores as well as any, so still smaller ones may suffice.",
            "repeat the command with smaller sizes.",
        )
    better = [row for row in told["sizes"] if not row["is_consistent"] and -row["behind"] > row["error"]]
    if better:
        yield Finding(
            "Sizes that were left out score better",
            f"With {_listed([row['size'] for row in better])} latents the rates fit better by more than one standard error, "
            f"although they do not show all of them: {told['best']} may have been trained too little, or may be too few.",
            "train longer (training.epochs), and if the gap stays, look at sizes in between.",
        )
    if len(chosen["fits"]) == 1:
        yield Finding(
            "One fit of each size",
            "Standard errors are over trials; how much two fits of the same size differ by their random start is not known.",
            "give several seeds (--seeds 0 1 2).",
        )


def _comparison(told: Mapping, chosen: Mapping) -> str:
    """The score and the cycle consistency of the recommended size beside those of the largest."""
    largest = told["sizes"][-1]
    return (
        f"Its {told['words']} is {chosen['score']:.4f} and its cycle consistency {chosen['cycle_consistency']:.3f}; with "
        f"{largest['size']}, the largest size, they are {largest['score']:.4f} and {largest['cycle_consistency']:.3f}."
    )


def section(told: Mapping) -> Section:
    """The figure and the table."""
    has_truth = told["sizes"][0]["latent_r2"] is not None
    seeds = len(told["sizes"][0]["fits"])
    introduction = _INTRODUCTION.format(
        score=_SCORES[told["score"]],
        over="trials and seeds" if seeds > 1 else "trials",
        margin=told["margin"],
    )
    picture = Picture(
        "dimensions",
        dimensions_figure(told),
        _CAPTION,
        f"Curves of {told['words']} and cycle consistency against {told['field']}.",
    )
    return Section(
        "sizes",
        "Sizes",
        introduction + _TRUTH * has_truth,
        (picture,),
        tables=(_table(told, has_truth=has_truth),),
    )


def _table(told: Mapping, *, has_truth: bool) -> Table:
    truth = ("From truth",) if has_truth else ()
    heads = (
        told["field"],
        told["words"],
        f"Behind {told['best']}",
        "Cycle consistency",
        *truth,
        "Training",
        "Verdict",
    )
    caption = (
        f"Validation trials; {told['best']} scores best among the sizes that come into question, ± is the standard error of the "
        "difference to it."
    ) + " From truth: R² of the inferred latents, mapped from the true ones." * has_truth
    rows = tuple(_row(row, told, has_truth=has_truth) for row in told["sizes"])
    return Table(caption, heads, rows)


def _row(row: Mapping, told: Mapping, *, has_truth: bool) -> tuple[str, ...]:
    is_best = row["size"] == told["best"]
    behind = "–" if is_best else f"{row['behind']:.4f} ± {row['error']:.4f}".replace("-", "−")
    truth = (f"{row['latent_r2']:.3f}",) if has_truth else ()
    number, seconds = len(row["fits"]), sum(of_fit["seconds"] for of_fit in row["fits"])
    times = f"{number} fit{'s' * (number > 1)}, {seconds:.0f} s"
    cells = (
        f"{row['score']:.4f}",
        behind,
        f"{row['cycle_consistency']:.3f}",
        *truth,
        times,
        _verdict(row, told),
    )
    return (str(row["size"]), *cells)


def _verdict(row: Mapping, told: Mapping) -> str:
    if row["size"] == told["recommended"]:
        return "recommended"
    if not row["is_consistent"]:
        return "latents that no rate shows"
    return "scores as well" if row["is_within"] else "rates fit worse"


def _listed(sizes: list[int]) -> str:
    *first, last = (str(size) for size in sizes)
    return f"{', '.join(first)} and {last}" if first else last
