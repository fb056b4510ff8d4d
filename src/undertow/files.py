"""Files that are complete or not there: written under a temporary name beside their place, then renamed.

The one thing besides `vocabulary` that every room may import.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from undertow.vocabulary import UndertowError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name that takes the place of `path` when all inside went well, and vanishes otherwise.

    Raises:
        UndertowError: the folder is missing or can't be written, or the disk is full; what was at `path` is as before.
    """
    if not path.parent.is_dir():
        raise UndertowError(
            f"There is no folder '{path.parent}' to write '{path.name}' into; create it first."
        )
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        _synchronise(temporary)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0][:200]
        raise UndertowError(
            f"'{path}' can't be written ({reason}); choose a folder with space that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`, making its folder if there is none: all of it or nothing.

    Raises:
        UndertowError: as for `replacing`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UndertowError(
            f"There is no folder '{path.parent}' and it can't be made ({error.strerror}); choose one that you may write to."
        ) from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
