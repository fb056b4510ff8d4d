"""A file for HDF5 that takes its name when everything is in it, whatever the disk does meanwhile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from undertow.files import replacing


class WholeFile(io.FileIO):
    """A file that takes writes after a failed one in silence and remembers the failure.

    HDF5 can't close a file whose disk is full: it crashes the process. So it never hears of the failure;
    whoever writes asks `check` afterwards and throws the file away.
    """

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        """Write everything, or remember why not."""
        length, written = memoryview(content).nbytes, 0
        end = self.tell() + length
        try:
            while written < length:
                written += super().write(memoryview(content).cast("B")[written:])
        except OSError as error:
            self._remember(error)
            self.seek(end)
        return length

    def readinto(self, buffer: Any) -> int:
        """Read, with zeros for what could not be written."""
        view = memoryview(buffer).cast("B")
        length = super().readinto(view)
        view[length:] = bytes(len(view) - length)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Resize, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._remember(error)
            return self.tell() if size is None else size

    def _remember(self, error: OSError) -> None:
        # A copy without the traceback, which would hold memory of HDF5 that is gone by then.
        self.failure = OSError(error.errno, error.strerror)

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def whole_file(path: Path) -> Iterator[WholeFile]:
    """A file for HDF5 under a temporary name that takes the place of `path` when all went well."""
    with replacing(path) as temporary, WholeFile(temporary, "w+") as file:
        yield file
        file.check()
