"""What the command line says of itself: its commands, and its version."""

from collections.abc import Callable, Mapping
from importlib import metadata


def version() -> str:
    """The installed version."""
    try:
        return f"undertow {metadata.version('undertow')}"
    except metadata.PackageNotFoundError:
        return "undertow from source, not installed"


def overview(commands: Mapping[str, Callable], beginning: str = "") -> str:
    """Every command whose name begins so, with the first line of its help."""
    shown = {name: command for name, command in commands.items() if name.startswith(beginning)}
    width = max(len(name) for name in shown)
    lines = [
        f"  {name:<{width}}  {(command.__doc__ or '').splitlines()[0]}" for name, command in shown.items()
    ]
    return "\n".join(
        [
            "undertow: from recordings of many neurons to the dynamics underneath them",
            "",
            f"usage: undertow {beginning}COMMAND ...        (undertow COMMAND --help explains it, with an example)",
            "",
            *lines,
        ]
    )
