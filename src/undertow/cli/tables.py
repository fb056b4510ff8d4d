"""Tables of results, as the terminal shows them."""

from pathlib import Path
from typing import Any

from undertow.cli.options import say


def show_scores(scores: dict[str, Any], folder: Path) -> None:
    """A table of scores, the model beside the yardstick, one block a split, and where the report is, if there is one."""
    for split, sides in scores["splits"].items():
        say(f"{split} trials{'':<24}{scores['model']:>12}{'smoothing':>12}")
        for name, value in sides["model"].items():
            other = (sides.get("yardstick") or {}).get(name)
            if isinstance(value, (int, float)):
                say(
                    f"  {name:<34}{value:>12.4f}"
                    + (f"{other:>12.4f}" if isinstance(other, (int, float)) else "")
                )
    say(f"selected on {scores['selected_on']}")
    if "test_look" in scores:
        say(f"test trials: {scores['test_look']}")
    report = folder / "report.html"
    if report.exists():
        say(f"report: {report}")
