"""A run's model as a file for ONNX Runtime, to be run bin by bin where undertow is not installed."""

from pathlib import Path

from undertow.components.observations import OBSERVATIONS
from undertow.experiments.fitted import Fitted
from undertow.experiments.opening_runs import open_session
from undertow.streaming.bins import StreamFacts
from undertow.streaming.export import Exported, write
from undertow.vocabulary import UndertowError


def export(run: str | Path | Fitted, path: str | Path) -> Exported:
    """Write the one-bin step of a causal model (state in, state out) to `path`, and a script beside it that runs it.

    Args:
        run: a fitted model, or the folder of its run.
        path: the file to write; it ends in .onnx. The script has the same name and ends in .py.

    Raises:
        UndertowError: an ensemble, a model that is not causal, a path that can't be, or `undertow[onnx]` is not installed.
    """
    fitted = run if isinstance(run, Fitted) else open_session(run)
    if fitted.others:
        raise UndertowError(
            f"'{fitted.folder}' is an ensemble of {len(fitted.models)} models, but a step is that of one; search again with "
            "--ensemble 1, or run it by fitted.stream()."
        )
    session = fitted.session
    support = OBSERVATIONS[fitted.recipe.model.observation](1).support
    facts = StreamFacts(session.neurons, session.held_out, session.inputs, session.bin_width, support)
    return write(fitted.model, facts, Path(path))
