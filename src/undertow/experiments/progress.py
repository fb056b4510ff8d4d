"""What a person sees while a run works: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from undertow.search.records import Progress as SearchProgress
from undertow.training import loop

LINE_SECONDS = 10.0


class Listener:
    """Tells of sentences (`say`), and of epochs (`listen`) inside `training`."""

    def __init__(self, *, is_quiet: bool = False, console: Console | None = None):
        self.is_quiet = is_quiet
        self._console = console or Console(file=sys.stderr, quiet=is_quiet, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._last_line = -LINE_SECONDS

    def say(self, sentence: str) -> None:
        """One line."""
        self._console.print(sentence, markup=False)

    def training(self) -> AbstractContextManager["Listener"]:
        """A bar for the epochs of a fit inside, if this is a terminal."""
        return self._showing("training")

    def searching(self) -> AbstractContextManager["Listener"]:
        """A bar for the epochs of a search inside, if this is a terminal."""
        return self._showing("searching")

    @contextmanager
    def _showing(self, word: str) -> Iterator["Listener"]:
        if not self._console.is_terminal or self._console.quiet:
            yield self
            return
        columns = (
            TextColumn(word),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[score]}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._bar.add_task(word, score="", total=None)
            yield self
        self._bar = None

    def listen(self, progress: loop.Progress) -> None:
        """Show an epoch: the bar moves, or a line appears, at most every ten seconds."""
        score = progress.metrics["selection_smoothed"]
        if self._bar is not None:
            text = f"validation {score:.4f} nats an entry"
            self._bar.update(
                self._bar.task_ids[0], completed=progress.epoch, total=progress.epochs, score=text
            )
        elif time.monotonic() - self._last_line >= LINE_SECONDS or progress.epoch == progress.epochs:
            self._last_line = time.monotonic()
            left = progress.seconds / progress.epoch * (progress.epochs - progress.epoch)
            self.say(
                f"epoch {progress.epoch} of {progress.epochs}: validation {score:.4f} nats an entry, best in epoch "
                f"{int(progress.metrics['best_epoch'])}, {progress.seconds:.0f} s gone, at most {left:.0f} s left"
            )

    def listen_to_search(self, progress: SearchProgress) -> None:
        """Show the population: its best, median and spread, and the time that is left."""
        scores = f"best {progress.best:.4f}, median {progress.median:.4f}, spread {progress.spread:.4f} nats an entry"
        name = "cooling down" if progress.is_cooling else f"generation {progress.generation + 1}"
        if self._bar is not None:
            text = f"{name}: {scores}"
            self._bar.update(
                self._bar.task_ids[0], completed=progress.epoch, total=progress.epochs, score=text
            )
        elif time.monotonic() - self._last_line >= LINE_SECONDS or progress.seconds_left == 0:
            self._last_line = time.monotonic()
            lost = f", {progress.lost} broken down and replaced" if progress.lost else ""
            self.say(
                f"{name}, epoch {progress.epoch} of at most {progress.epochs}: {scores}{lost}; "
                f"{progress.seconds:.0f} s gone, at most {progress.seconds_left:.0f} s left"
            )
