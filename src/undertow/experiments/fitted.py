"""A fitted model and the folder it lives in: everything needed to use it again, next year too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.components.observations import OBSERVATIONS
from undertow.experiments import behaviour, coding, generating, inference, run_folder
from undertow.experiments.recipe import Recipe
from undertow.experiments.run_folder import Session
from undertow.models.base import Model
from undertow.streaming.decoder import LinearDecoder
from undertow.streaming.stream import Stream, StreamFacts


@dataclass(frozen=True)
class Fitted:
    """A fitted model: `infer` uses it, `folder` keeps it.

    Attributes:
        folder: the run's folder.
        recipe: what the run was told.
        model: the selected weights.
        session: the recording it was fitted to.
        outcome: "selected_on" (a sentence), "selected_epoch", "epochs", "updates", "seconds", "skipped_steps"; after a search
            also "search": what was selected, and how.
        others: further models of an ensemble and their recipes; the estimate's rates are the average over all.
    """

    folder: Path
    recipe: Recipe
    model: Model
    session: Session
    outcome: dict[str, Any]
    others: tuple[tuple[Recipe, Model], ...] = ()

    def infer(
        self,
        trials: xr.Dataset,
        *,
        samples: int | None = None,
        seed: int | None = None,
        out: str | Path | None = None,
    ) -> xr.Dataset:
        """Estimate rates, factors and what else the model has, for any trials of the same neurons.

        Args:
            trials: of any number and length; neurons that are missing in them count as not observed.
            samples: posterior samples to average, or 0 for posterior means in their place; the recipe's number if not given.
            seed: of the samples; the recipe's if not given.
            out: a netCDF file to write trial by trial, for results larger than memory; it is opened lazily.

        Returns:
            The estimate: `rates` (Hz) with `rates_sd`, `factors`, ... on the trials' coordinates.

        Raises:
            UndertowError: other neurons, another bin width, or missing inputs.
        """
        samples = self.samples if samples is None else samples
        seed = self.recipe.seed if seed is None else seed
        return inference.infer(self.models, self.session, trials, samples=samples, seed=seed, out=out)

    def estimating(
        self, trials: xr.Dataset, *, samples: int | None = None, seed: int | None = None
    ) -> tuple[xr.Dataset, Iterator[xr.Dataset]]:
        """The estimate's coordinates, and its pieces along `trial` one after the other; arguments and errors as for `infer`."""
        samples = self.samples if samples is None else samples
        seed = self.recipe.seed if seed is None else seed
        return inference.in_chunks(self.models, self.session, trials, samples=samples, seed=seed)

    def stream(
        self, *, window: int | None = None, delay: int = 0, decoder: LinearDecoder | None = None
    ) -> Stream:
        """The model one bin at a time, for a closed loop: `reset`, `predict`, `observe`, `skip`, `on_done`.

        Args:
            window: bins of a sliding window, for models that are not causal; they are estimated anew at each bin.
            delay: in a window, bins by which the estimate lags behind the newest bin: later, and better.
            decoder: of behaviour, as `decoder` fits it.

        Raises:
            UndertowError: a model that is not causal without a window, a window or delay that can't be, or a decoder of other
                neurons.
        """
        session = self.session
        support = OBSERVATIONS[self.recipe.model.observation](1).support
        facts = StreamFacts(session.neurons, session.held_out, session.inputs, session.bin_width, support)
        return Stream(self.models, facts, window=window, delay=delay, decoder=decoder)

    def decoder(
        self,
        trials: xr.Dataset,
        *,
        lags: int | Sequence[int] = 0,
        window: int | None = None,
        delay: int = 0,
    ) -> LinearDecoder:
        """A ridge regression of behaviour on rates as a stream estimates them, fitted to the training trials among `trials`.

        Args:
            trials: with `behaviour`.
            lags: bins by which the rates precede behaviour, one or several at once, each 0 or more.
            window: as the stream's; and so is `delay`.

        Raises:
            UndertowError: no behaviour, no training trials, or lags that look ahead.
        """
        return behaviour.fit_decoder(self, trials, lags=lags, window=window, delay=delay)

    def encode(self, trials: xr.Dataset) -> xr.DataArray:
        """The code of every trial, (trial, code_dimension), for a model that has codes: gnocchi, pca, lfads without inferred
        inputs.

        Raises:
            UndertowError: a model without codes, other neurons, or another bin width.
        """
        return coding.encode(self, trials)

    def reconstruct(self, trials: xr.Dataset, **options: Any) -> xr.Dataset:
        """Each trial made again of its code: trials with `true_rates` (Hz), `counts` drawn from them, and `code`.

        Options are those of `undertow.experiments.generating.reconstruct`.
        """
        return generating.reconstruct(self, trials, **options)

    def sample(self, number: int, **options: Any) -> xr.Dataset:
        """So many trials drawn from the model; options as for `undertow.experiments.generating.sample`."""
        return generating.sample(self, number, **options)

    def traverse(self, trials: xr.Dataset, behaviour: str, **options: Any) -> xr.Dataset:
        """Trials along which one behaviour changes and others stay; options as for `undertow.experiments.generating.traverse`."""
        return generating.traverse(self, trials, behaviour, **options)

    def interpolate(self, trials: xr.Dataset, first: int, last: int, **options: Any) -> xr.Dataset:
        """Trials between two trials; options as for `undertow.experiments.generating.interpolate`."""
        return generating.interpolate(self, trials, first, last, **options)

    def generate(self, trials: xr.Dataset, behaviour: Mapping[str, Any], **options: Any) -> xr.Dataset:
        """Trials of asked behaviour, also such as nobody recorded; options as for `undertow.experiments.generating.generate`."""
        return generating.generate(self, trials, behaviour, **options)

    @property
    def models(self) -> list[Model]:
        """The model, and the others of an ensemble."""
        return [self.model, *(model for _, model in self.others)]

    @property
    def samples(self) -> int:
        """How many posterior samples an estimate averages: one where the model draws none."""
        return self.recipe.inference.samples if any(model.is_sampled for model in self.models) else 1

    def save(self) -> None:
        """Write the weights and what they need to be read again."""
        stored = run_folder.Stored(self.recipe, self.model, (self.session,), self.outcome, self.others)
        run_folder.save(self.folder, stored)
