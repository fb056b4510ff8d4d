"""A run's folder opened again: a `Fitted` of one session, or a `FittedSessions` of several."""

from pathlib import Path

from undertow.experiments import run_folder
from undertow.experiments.fitted import Fitted
from undertow.experiments.fitted_sessions import FittedSessions
from undertow.vocabulary import UndertowError


def open_run(folder: str | Path) -> Fitted | FittedSessions:
    """The fitted model in a run's folder, of one session or of several.

    Raises:
        UndertowError: no such folder, an unfinished run, or files of another version.
    """
    stored = run_folder.read(Path(folder))
    if len(stored.sessions) > 1:
        return FittedSessions(Path(folder), *stored)
    recipe, model, (session,), outcome, others = stored
    return Fitted(Path(folder), recipe, model, session, outcome, others)


def open_session(folder: str | Path, name: str | None = None) -> Fitted:
    """The fitted model of one session in a run's folder; `name` may be left out where there is only one.

    Raises:
        UndertowError: as `open_run`, or a session that the run does not hold, or several of which none was chosen.
    """
    fitted = open_run(folder)
    if isinstance(fitted, FittedSessions):
        if name is None:
            raise UndertowError(
                f"The run in '{folder}' holds the sessions {', '.join(fitted.names)}; choose one with --session NAME."
            )
        return fitted.at(name)
    if name not in (None, fitted.session.name):
        raise UndertowError(
            f"The run in '{folder}' was fitted to the session '{fitted.session.name}' alone, not to '{name}'; leave --session "
            "out."
        )
    return fitted
